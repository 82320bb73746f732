"""A kernel of the user's own: its file, its modules, its configuration.

The files are read once, as the user who runs us, and copied: what becomes of them later
does not matter. Stages below the staging directory; publishes through the shelf (`publish`).
"""

from __future__ import annotations

import asyncio
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from banger.errors import InvalidRequest, KernelUnfit
from banger.host.files import staged_dir
from banger.kernels.catalogue import KERNELS
from banger.kernels.kconfig import CONFIG_BYTES_MAX, find_kconfig
from banger.kernels.package import KERNEL_BYTES_MAX, Package, take_module_tree
from banger.kernels.parts import Parts, pack_tree, require_packer, save_parts
from banger.kernels.publish import load_agent, publish_kernel
from banger.kernels.pull import Progress
from banger.kernels.shelf import open_shelf
from banger.kernels.vmlinux import BadKernel, find_version, unpack_kernel
from banger.layout import Layout
from banger.model.artifacts import Kernel

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class KernelFiles:
    """What a kernel is imported from."""

    kernel: Path
    """A bzImage or a vmlinux (x86-64), an Image (arm64)."""
    modules: Path | None
    """A tree such as `/lib/modules/VERSION`; None: what a guest needs is built in."""
    config: Path | None
    """None: the kernel carries its configuration (IKCONFIG)."""


async def import_kernel(
    layout: Layout,
    name: str,
    files: KernelFiles,
    *,
    agent: Path,
    agent_version: str,
    progress: Progress,
    now: float,
) -> Kernel:
    """Make a kernel of a user's files under a name, which moves on to it if it meant another.

    Raises:
        InvalidRequest: the name is no name, or one that is pulled; a file cannot be read.
        KernelUnfit: it is no kernel, or lacks something; everything that it lacks is named.
        ToolMissing: the host cannot pack the modules.
        NoSpace: the file system is full.
    """
    require_importable(name)
    if files.modules is not None:
        require_packer()
    ours = await asyncio.to_thread(load_agent, agent, agent_version)
    with staged_dir(layout.staging, prefix="kernel") as staged:
        tree = staged / "unpacked"
        tree.mkdir()
        progress("reading the kernel", None, None)
        package, parts = await asyncio.to_thread(_stage, name, files, tree)
        progress("packing the modules", None, None)
        await pack_tree(package, staged)
        progress("building the initramfs", None, None)
        shelf = open_shelf(layout)
        return await asyncio.to_thread(publish_kernel, shelf, staged, parts, agent=ours, now=now)


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
        raise InvalidRequest(f"{name} is the name of a kernel that is pulled; choose another.")


def _stage(name: str, files: KernelFiles, tree: Path) -> tuple[Package, Parts]:
    """Read the files; write the parts beside `tree`, and the modules into it."""
    arch = platform.machine()
    package = Package(tree=tree, kernel=_read(files.kernel, KERNEL_BYTES_MAX))
    try:
        plain = unpack_kernel(package.kernel, arch=arch)
        package.version = find_version(plain)
    except BadKernel as error:
        raise KernelUnfit(f"{files.kernel} cannot be used: {error}.") from error
    package.config = _config(files, plain, package.version)
    if files.modules is not None:
        take_module_tree(package, files.modules)
    parts = save_parts(package, tree.parent, name=name, arch=arch, source=f"file:{files.kernel}")
    return package, parts


def _config(files: KernelFiles, plain: bytes, version: str) -> str:
    if files.config is not None:
        return _read(files.config, CONFIG_BYTES_MAX).decode("utf-8", "replace")
    config = find_kconfig(plain)
    if config is None:
        raise KernelUnfit(
            f"{files.kernel} does not carry its configuration, so it cannot be checked.",
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
