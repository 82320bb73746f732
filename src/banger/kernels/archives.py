"""Kernels in archives: a Debian package, or a tar such as `make tar-pkg` makes. Format only.

A Debian package is an `ar` archive whose last member, `data.tar` with the ending of its
compression, holds the files (deb(5)). Names, sizes and contents are untrusted: `package` takes
what has the shape of a kernel's part, and what is unpacked on the way is bounded, whoever wants
to know how far a few bytes can be blown up.

Reads the file that it is given; what it finds goes where `package` writes. For a thread.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import zstandard

from banger.errors import InvalidRequest, KernelUnfit
from banger.kernels.package import Package, take_members

UNPACKED_BYTES_MAX = 4 * 1024**3
"""Debian's generic kernel of 2026 unpacks to 430 MiB."""
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
_AR_MEMBERS_MAX = 16
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257


def take_archive(path: Path, directory: Path, *, what: str) -> Package | None:
    """Return the kernel in an archive, its modules unpacked to `directory`; None: it is none.

    `what` names the archive in errors.

    Raises:
        InvalidRequest: the file cannot be read.
        KernelUnfit: the archive is broken, or does not hold exactly one kernel.
        NoSpace: the file system is full.
    """
    with _archive_errors(what), _open(path) as file:
        packed = file
        if file.peek(len(_AR_MAGIC)).startswith(_AR_MAGIC):
            packed = _open_data(file, what)
        plain = _bounded(_decompress(packed), what)
        if plain.peek(512)[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
            package = take_members(plain, directory)
            if not package.kernel:
                raise KernelUnfit(f"There is no kernel in {what}.")
            return package
    return None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[io.BufferedReader]:
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        yield file


@contextlib.contextmanager
def _archive_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        # gzip and bz2 tell of broken content by an OSError that no system call has given.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise KernelUnfit(f"{what} cannot be unpacked: {error}.") from error


def _open_data(file: IO[bytes], what: str) -> io.BufferedReader:
    """Return the packed files of a Debian package."""
    file.seek(len(_AR_MAGIC))
    for _ in range(_AR_MEMBERS_MAX):
        header = file.read(_AR_HEADER_BYTES)
        name, digits = header[:16].rstrip(b" /"), header[48:58].strip()
        if len(header) < _AR_HEADER_BYTES or header[58:] != b"`\n" or not digits.isdigit():
            break
        size = int(digits)
        if name.startswith(b"data.tar"):
            return io.BufferedReader(_Window(file, size))
        file.seek(size + size % 2, io.SEEK_CUR)
    raise KernelUnfit(f"{what} is not a complete Debian package.")


def _decompress(packed: io.BufferedReader) -> IO[bytes]:
    """Return the content of a stream, whichever of the usual compressions it has."""
    magic = packed.peek(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=packed))
    if magic.startswith(b"\xfd7zXZ\0"):
        return cast(IO[bytes], lzma.LZMAFile(packed))
    if magic.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(packed))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(packed))
    return packed


def _bounded(plain: IO[bytes], what: str) -> io.BufferedReader:
    complaint = f"{what} holds more than {UNPACKED_BYTES_MAX} bytes."
    return io.BufferedReader(_Window(plain, UNPACKED_BYTES_MAX, complaint), 64 * 1024)


class _Window(io.RawIOBase):
    """The next so many bytes of a stream; what lies behind them is the end, or a complaint."""

    def __init__(self, stream: IO[bytes], size: int, complaint: str | None = None) -> None:
        self._stream = stream
        self._left = size
        self._complaint = complaint

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer is one
        if self._left == 0 and self._complaint is not None:
            raise KernelUnfit(self._complaint)
        part = self._stream.read(min(len(buffer), self._left))
        buffer[: len(part)] = part
        self._left -= len(part)
        return len(part)
