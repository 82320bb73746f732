"""Import a user's own kernel: its file, modules and configuration, from disk or a URL.

The files are read once, as the user who runs us, and copied: what becomes of them later
does not matter. Stages below the staging directory; publishes through the store (`publish`).
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from banger.errors import InvalidRequest, KernelUnfit
from banger.host.files import staged_dir
from banger.kernels.archives import take_archive
from banger.kernels.catalogue import KERNELS
from banger.kernels.contents import Parts
from banger.kernels.fetching import RemoteFile, fetch_file
from banger.kernels.kconfig import CONFIG_BYTES_MAX, find_kconfig
from banger.kernels.package import KERNEL_BYTES_MAX, Package, take_module_tree
from banger.kernels.parts import pack_tree, require_packer, save_parts
from banger.kernels.publish import Order, identify_agent, publish_kernel
from banger.kernels.pull import pull_kernel
from banger.kernels.vmlinux import BadKernel, find_version, unpack_kernel
from banger.model.artifacts import Kernel

FETCHED = "fetched"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class KernelFiles:
    """What a kernel is imported from."""

    kernel: Path
    """A bzImage or a vmlinux (x86-64), an Image (arm64), or an archive that holds one."""
    modules: Path | None = None
    """A tree such as `/lib/modules/VERSION`; None: what a guest needs is built in or with it."""
    config: Path | None = None
    """None: the kernel carries its configuration (IKCONFIG), or it lies beside it."""


async def import_kernel(order: Order, files: KernelFiles) -> Kernel:
    """Make a kernel of a user's files under a name, which moves on to it if it meant another.

    Raises:
        InvalidRequest: the name is no name, or one that is pulled; a file cannot be read.
        KernelUnfit: it is no kernel, or lacks something; everything that it lacks is named.
        ToolMissing: the host cannot pack the modules.
        NoSpace: the file system is full.
    """
    _require_ready(order)
    with staged_dir(order.layout.staging, prefix="kernel") as staged:
        return await make_kernel(order, files, staged, source=f"file:{files.kernel}")


async def fetch_kernel(
    order: Order, remote: RemoteFile, *, config: Path | None, force: bool
) -> Kernel:
    """Make a kernel of a file at a URL. Idempotent.

    `force`, or a configuration to check it by, downloads it in any case.

    Raises:
        DownloadFailed, DeadlineExceeded: the file cannot be had, or is another one.
        Else as `import_kernel`.
    """
    _require_ready(order)
    known = None if force or config else order.store.find(order.name)
    if known is not None and known.source == remote.source:
        with contextlib.suppress(KernelUnfit):  # it is damaged
            return await pull_kernel(order)
    with staged_dir(order.layout.staging, prefix="kernel") as staged:
        fetched = KernelFiles(kernel=staged / FETCHED, config=config)
        await fetch_file(remote, fetched.kernel, order.progress, environ=order.environ)
        return await make_kernel(order, fetched, staged, source=remote.source)


async def make_kernel(order: Order, files: KernelFiles, staged: Path, *, source: str) -> Kernel:
    """As `import_kernel`, with a name that is known to be right; `staged` is published."""
    agent = await asyncio.to_thread(identify_agent, order)
    tree = staged / "unpacked"
    tree.mkdir()
    order.progress("reading the kernel", None, None)
    package, parts = await asyncio.to_thread(_stage, order, files, tree, source)
    order.progress("packing the modules", None, None)
    await pack_tree(package, staged)
    order.progress("building the initramfs", None, None)
    (staged / FETCHED).unlink(missing_ok=True)
    return await asyncio.to_thread(publish_kernel, order, staged, parts, agent=agent)


def _require_ready(order: Order) -> None:
    require_importable(order.name)
    require_packer()


def require_importable(name: str) -> None:
    """Check a name for a kernel of the user's own.

    Raises:
        InvalidRequest: it has not a name's shape, or it is one that is pulled.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} is not a valid name for a kernel: lower-case letters, digits, dots, hyphens "
            "and underscores, at most 63, starting with a letter or a digit."
        )
    if name in KERNELS:
        raise InvalidRequest(
            f"{name} is reserved for a kernel that can be pulled; choose another name."
        )


def _stage(order: Order, files: KernelFiles, tree: Path, source: str) -> tuple[Package, Parts]:
    """Read the files; write the parts beside `tree`, and the modules into it."""
    arch = platform.machine()
    what = source.partition(":")[2]
    package = take_archive(files.kernel, tree, what=what)
    if package is None:
        package = Package(tree=tree, kernel=_read(files.kernel, KERNEL_BYTES_MAX))
    elif package.modules and files.modules is not None:
        raise InvalidRequest(f"{what} already contains the kernel's modules; leave out --modules.")
    try:
        plain = b"".join(unpack_kernel(package.kernel, arch=arch))
        package.version = find_version(plain)
    except BadKernel as error:
        raise KernelUnfit(f"{what} cannot be used: {error}.") from error
    if files.config is not None:
        package.config = _read(files.config, CONFIG_BYTES_MAX).decode("utf-8", "replace")
    elif not package.config:
        package.config = _find_config(what, plain, package.version)
    if files.modules is not None:
        take_module_tree(package, files.modules)
    return package, save_parts(
        package,
        tree.parent,
        name=order.name,
        arch=arch,
        source=source,
        find_obstacle=order.find_obstacle,
    )


def _find_config(what: str, plain: bytes, version: str) -> str:
    config = find_kconfig(plain)
    if config is None:
        raise KernelUnfit(
            f"{what} does not contain its configuration, so it cannot be checked.",
            hint=f"--config /boot/config-{version}",
        )
    return config


def _read(path: Path, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > limit:
        raise InvalidRequest(f"{path} is larger than {limit} bytes.")
    return content
