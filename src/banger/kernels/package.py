"""Take the parts of a kernel out of a package's tar stream or a user's files.

The stream is made by mmdebstrap from a signed package, and still every name in it is
untrusted: an entry counts only if its name has exactly the shape of a kernel, its
configuration, a list of modules or a module, and is a regular file of bounded size.
A module is written, plain, under its path below `kernel/`, whose shape leaves no room for
`.`, `..` or anything that a terminal or a line of text would take for something else.

Writes into the staging directory that the caller gives; synchronous, for a thread.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from banger.errors import InvalidRequest, KernelUnfit
from banger.host.files import space_errors
from banger.kernels.modules import BadModule, unpack_module

_VERSION = r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,99}"
_PREFIX = r"(?:\./)?(?:usr/)?"
_BOOT = re.compile(rf"(?:\./)?boot/(?P<kind>vmlinuz|config)-(?P<version>{_VERSION})")
_LIST = re.compile(
    rf"{_PREFIX}lib/modules/(?P<version>{_VERSION})/"
    r"(?P<file>modules\.(?:builtin|builtin\.modinfo|order))"
)
_PATH = r"(?:[A-Za-z0-9_+-]{1,100}/){0,16}[A-Za-z0-9_+-]{1,100}\.ko(?:\.gz|\.xz|\.zst)?"
_MODULE = re.compile(rf"{_PREFIX}lib/modules/(?P<version>{_VERSION})/(?P<path>kernel/{_PATH})")
_LOCAL_MODULE = re.compile(_PATH)

KERNEL_BYTES_MAX = 256 * 1024 * 1024
SMALL_BYTES_MAX = 4 * 1024 * 1024
MODULES_BYTES_MAX = 2 * 1024 * 1024 * 1024
MODULES_MAX = 20_000
BUILTIN, BUILTIN_MODINFO, ORDER = "modules.builtin", "modules.builtin.modinfo", "modules.order"
OVERRIDES = "updates/"
"""Modules below it come before those of the same name elsewhere, as for depmod."""


@dataclass
class Package:
    """What was found."""

    tree: Path
    """The directory that the modules were written to, each plain and under its own path."""
    version: str = ""
    kernel: bytes = b""
    config: str = ""
    lists: dict[str, bytes] = field(default_factory=dict)
    """The kernel's own lists of modules, by file name."""
    modules: dict[str, Path] = field(default_factory=dict)
    """Canonical name to file."""
    module_bytes: int = 0

    @property
    def builtin(self) -> frozenset[str]:
        """Canonical names of the modules that are built in."""
        lines = self.lists.get(BUILTIN, b"").decode("ascii", "replace").split()
        return frozenset(_module_name(line) for line in lines)


def take_package(descriptor: int, directory: Path) -> Package:
    """Read a tar stream to its end and return the kernel in it; modules go to `directory`.

    Raises:
        KernelUnfit: the stream is broken, or does not hold exactly one kernel.
        NoSpace: the file system is full.
    """
    with open(descriptor, "rb", closefd=False) as stream:
        package = take_members(stream, directory)
        # The writer may still pad: it must not meet a closed pipe.
        while stream.read(65536):
            pass
    _require_whole(package)
    return package


def take_members(stream: IO[bytes], directory: Path) -> Package:
    """Read a tar to its end mark and return what it has of a kernel; modules go to `directory`.

    Raises:
        KernelUnfit: the stream is broken, or holds parts of two kernels.
        NoSpace: the file system is full.
    """
    package = Package(tree=directory)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar, space_errors(directory):
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is not None:
                    _take(package, member, content)
    except tarfile.TarError as error:
        raise KernelUnfit(f"The kernel package's archive cannot be read: {error}.") from error
    return package


def take_module_tree(package: Package, source: Path) -> None:
    """Copy the modules below a directory of the user's, such as `/lib/modules/VERSION`.

    What has not the shape of a module's path is left out; symbolic links are not followed.

    Raises:
        InvalidRequest: the directory cannot be read.
        KernelUnfit: it holds no module, or one that does not unpack.
        NoSpace: the file system is full.
    """
    try:
        found = sorted(
            path.relative_to(source).as_posix()
            for path in source.rglob("*.ko*")
            if path.is_file() and not path.is_symlink()
        )
        with space_errors(package.tree):
            for path in sorted(found, key=lambda path: not path.startswith(OVERRIDES)):
                if _LOCAL_MODULE.fullmatch(path) and _module_name(path) not in package.modules:
                    _save_module(package, path, (source / path).read_bytes())
        for name in (BUILTIN, BUILTIN_MODINFO, ORDER):
            if (source / name).is_file():
                package.lists[name] = (source / name).read_bytes()[:SMALL_BYTES_MAX]
    except OSError as error:
        raise InvalidRequest(f"{source} cannot be read: {error.strerror}.") from error
    if not package.modules:
        raise KernelUnfit(
            f"There are no modules below {source}.",
            hint=f"--modules /lib/modules/{package.version}",
        )


def _take(package: Package, member: tarfile.TarInfo, content: IO[bytes]) -> None:
    untrusted_name = member.name
    if match := _BOOT.fullmatch(untrusted_name):
        _set_version(package, match["version"])
        if match["kind"] == "vmlinuz":
            package.kernel = _read(member, content, KERNEL_BYTES_MAX)
        else:
            package.config = _read(member, content, SMALL_BYTES_MAX).decode("utf-8", "replace")
    elif match := _LIST.fullmatch(untrusted_name):
        _set_version(package, match["version"])
        package.lists[match["file"]] = _read(member, content, SMALL_BYTES_MAX)
    elif match := _MODULE.fullmatch(untrusted_name):
        _set_version(package, match["version"])
        _save_module(package, match["path"], _read(member, content, MODULES_BYTES_MAX))


def _save_module(package: Package, path: str, untrusted_file: bytes) -> None:
    """Write a module, plain, under its path."""
    try:
        plain = unpack_module(path, untrusted_file)
    except BadModule as error:
        raise KernelUnfit(f"A module cannot be read: {error}.") from error
    package.module_bytes += len(plain)
    if package.module_bytes > MODULES_BYTES_MAX or len(package.modules) >= MODULES_MAX:
        raise KernelUnfit("There are more modules than any kernel has.")
    target = package.tree / (path.partition(".ko")[0] + ".ko")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(plain)
    package.modules[_module_name(path)] = target


def _read(member: tarfile.TarInfo, content: IO[bytes], limit: int) -> bytes:
    if member.size > limit:
        raise KernelUnfit(f"{os.path.basename(member.name)} is larger than {limit} bytes.")
    return content.read()


def _set_version(package: Package, version: str) -> None:
    if package.version not in ("", version):
        raise KernelUnfit(f"The package holds two kernels: {package.version} and {version}.")
    package.version = version


def _require_whole(package: Package) -> None:
    parts: Mapping[str, object] = {
        "kernel": package.kernel,
        "configuration": package.config,
        "modules": package.modules,
    }
    if missing := [name for name, part in parts.items() if not part]:
        raise KernelUnfit(f"The kernel package contains no {' and no '.join(missing)}.")


def _module_name(path: str) -> str:
    """Return the canonical name of a module's file: `virtio-rng.ko.xz` is `virtio_rng`."""
    return path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_")
