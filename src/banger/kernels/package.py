"""Takes the few files that we use out of a kernel package's tar stream.

The stream is made by mmdebstrap from a signed package, and still every name in it is
untrusted: an entry counts only if its name has exactly the shape of a kernel, its
configuration, the list of built-in modules or a module, and is a regular file of bounded size.
Nothing is written under a name from the stream but the last part of a module's,
whose shape leaves no room for a path.

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

from banger.errors import KernelUnfit
from banger.host.files import space_errors

_VERSION = r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,99}"
_PREFIX = r"(?:\./)?(?:usr/)?"
_BOOT = re.compile(rf"(?:\./)?boot/(?P<kind>vmlinuz|config)-(?P<version>{_VERSION})")
_BUILTIN = re.compile(rf"{_PREFIX}lib/modules/(?P<version>{_VERSION})/modules\.builtin")
_MODULE = re.compile(
    rf"{_PREFIX}lib/modules/(?P<version>{_VERSION})/kernel/(?:[A-Za-z0-9_+.-]+/){{1,16}}"
    r"(?P<file>[A-Za-z0-9_+-]{1,100}\.ko(?:\.xz|\.zst)?)"
)

KERNEL_BYTES_MAX = 256 * 1024 * 1024
SMALL_BYTES_MAX = 4 * 1024 * 1024
MODULES_BYTES_MAX = 2 * 1024 * 1024 * 1024
MODULES_MAX = 20_000


@dataclass
class Package:
    """What was found. Module files lie in the directory given to `take_package`."""

    version: str = ""
    kernel: bytes = b""
    config: str = ""
    builtin: frozenset[str] = frozenset()
    """Canonical names of the modules that are built in."""
    modules: dict[str, Path] = field(default_factory=dict)
    """Canonical name to file."""
    module_bytes: int = 0


def take_package(descriptor: int, directory: Path) -> Package:
    """Read a tar stream to its end and return the kernel in it; modules go to `directory`.

    Raises:
        KernelUnfit: the stream is broken, or does not hold exactly one kernel.
        NoSpace: the file system is full.
    """
    package = Package()
    try:
        with (
            open(descriptor, "rb", closefd=False) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
            space_errors(directory),
        ):
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is not None:
                    _take(package, member, content, directory)
            # The writer may still pad: it must not meet a closed pipe.
            while stream.read(65536):
                pass
    except tarfile.TarError as error:
        raise KernelUnfit(f"The kernel package's archive cannot be read: {error}.") from error
    _require_whole(package)
    return package


def _take(package: Package, member: tarfile.TarInfo, content: IO[bytes], directory: Path) -> None:
    untrusted_name = member.name
    if match := _BOOT.fullmatch(untrusted_name):
        _set_version(package, match["version"])
        if match["kind"] == "vmlinuz":
            package.kernel = _read(member, content, KERNEL_BYTES_MAX)
        else:
            package.config = _read(member, content, SMALL_BYTES_MAX).decode("utf-8", "replace")
    elif match := _BUILTIN.fullmatch(untrusted_name):
        _set_version(package, match["version"])
        lines = _read(member, content, SMALL_BYTES_MAX).decode("ascii", "replace").split()
        package.builtin = frozenset(_module_name(line) for line in lines)
    elif match := _MODULE.fullmatch(untrusted_name):
        _set_version(package, match["version"])
        _save_module(package, match["file"], member, content, directory)


def _save_module(
    package: Package, file_name: str, member: tarfile.TarInfo, content: IO[bytes], directory: Path
) -> None:
    package.module_bytes += member.size
    if package.module_bytes > MODULES_BYTES_MAX or len(package.modules) >= MODULES_MAX:
        raise KernelUnfit("The kernel package holds more modules than any kernel has.")
    path = directory / file_name
    with open(path, "wb") as file:
        file.write(_read(member, content, MODULES_BYTES_MAX))
    package.modules[_module_name(file_name)] = path


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
        raise KernelUnfit(f"The kernel package holds no {' and no '.join(missing)}.")


def _module_name(path: str) -> str:
    """Return the canonical name of a module's file: `virtio-rng.ko.xz` is `virtio_rng`."""
    return path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_")
