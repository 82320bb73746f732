"""Decompress a kernel. Pure.

x86: a bzImage carries the compressed ELF file; its setup header says where
(Documentation/arch/x86/boot.rst: payload_offset at 0x248, payload_length at 0x24c,
boot protocol 2.08 and newer). The payload starts with the magic of its compression, and all
but gzip are followed by the unpacked size in four bytes.

arm64: the plain kernel is an `Image`, perhaps compressed with gzip as a whole.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator

import lz4.block  # type: ignore[import-untyped]  # it has no types
import zstandard

from banger.kernels.elf import MACHINES, NotElf, read_machine

KERNEL_BYTES_MAX = 512 * 1024 * 1024
LZ4_LEGACY_MAGIC = b"\x02\x21\x4c\x18"
LZ4_LEGACY_BLOCK = 8 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
DECOMPRESSION_ERRORS = (
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    lz4.block.LZ4BlockError,
    EOFError,
    OSError,
)
ARM64_IMAGE_MAGIC = b"ARM\x64"
_BANNER = re.compile(rb"Linux version (?P<version>[0-9][A-Za-z0-9.+~_-]{0,99}) ")


class BadKernel(ValueError):
    """The bytes are not a kernel that we can unpack."""


def unpack_kernel(untrusted_file: bytes, *, arch: str) -> Iterator[bytes]:
    """Yield the uncompressed kernel in pieces: an ELF `vmlinux` (x86-64) or an `Image` (arm64).

    A kernel has 50 MiB and more; a daemon that had held one would not become small again.

    Raises:
        BadKernel: it has another shape, or is for another machine.
    """
    if arch == "aarch64":
        pieces = _unpack_arm64(untrusted_file)
    elif is_elf(untrusted_file):
        pieces = iter([untrusted_file])
    else:
        pieces = _decompress(_find_payload(untrusted_file))
    first = next(pieces, b"")
    _require_arch(first, arch)
    yield first
    yield from pieces


def _require_arch(untrusted_start: bytes, arch: str) -> None:
    if arch == "aarch64":
        if untrusted_start[0x38:0x3C] != ARM64_IMAGE_MAGIC:
            raise BadKernel("it is not an arm64 Image")
        return
    try:
        machine = read_machine(untrusted_start)
    except NotElf as error:
        raise BadKernel(f"the unpacked kernel is not an ELF file: {error}") from error
    if machine != MACHINES[arch]:
        raise BadKernel(f"the kernel is for ELF machine {machine}, not for {arch}")


def is_elf(untrusted_file: bytes) -> bool:
    """Tell whether a kernel's file is the uncompressed one already."""
    return untrusted_file.startswith(b"\x7fELF")


def find_version(untrusted_kernel: bytes) -> str:
    """Return what `uname -r` will say, from the banner in an unpacked kernel.

    Raises:
        BadKernel: it has none.
    """
    found = _BANNER.search(untrusted_kernel)
    if found is None:
        raise BadKernel("it does not say which version of Linux it is")
    return found["version"].decode("ascii")


def _find_payload(untrusted_file: bytes) -> bytes:
    """Return the compressed ELF file within a bzImage, with the size behind it."""
    if len(untrusted_file) < 0x250 or untrusted_file[0x202:0x206] != b"HdrS":
        raise BadKernel("it is neither a bzImage nor an ELF file")
    if struct.unpack_from("<H", untrusted_file, 0x206)[0] < 0x208:
        raise BadKernel("its boot protocol is older than 2.08")
    setup_sectors = untrusted_file[0x1F1] or 4
    offset, length = struct.unpack_from("<II", untrusted_file, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    if length < 8 or start + length > len(untrusted_file):
        raise BadKernel("its payload lies outside the file")
    return untrusted_file[start : start + length]


def _decompress(payload: bytes) -> Iterator[bytes]:
    """Unpack a payload of any compression whose magic we know; the size must be as announced."""
    size, done = int.from_bytes(payload[-4:], "little"), 0
    if not 0 < size <= KERNEL_BYTES_MAX:
        raise BadKernel(f"its payload declares {size} bytes")
    for piece in _translated(_decompress_any(payload)):
        done += len(piece)
        if done > size:
            break
        yield piece
    if done != size:
        raise BadKernel(f"its payload declares {size} bytes and holds {done}")


def _translated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pass pieces on; what a decompressor complains of is a bad kernel."""
    try:
        yield from pieces
    except DECOMPRESSION_ERRORS as error:
        raise BadKernel(f"its payload does not decompress: {error}") from error


def _decompress_any(payload: bytes) -> Iterator[bytes]:
    packed = io.BytesIO(payload)
    if payload.startswith(LZ4_LEGACY_MAGIC):
        return _decompress_lz4_legacy(payload[4:-4])
    if payload.startswith(b"\x1f\x8b"):
        return _gunzip(payload)
    if payload.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return _read_pieces(lzma.LZMAFile(packed).read)
    if payload.startswith(b"BZh"):
        return _read_pieces(bz2.BZ2File(packed).read)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        return _read_pieces(zstandard.ZstdDecompressor().stream_reader(payload[:-4]).read)
    raise BadKernel(f"its payload has an unknown compression: {payload[:6].hex()}")


def _gunzip(payload: bytes) -> Iterator[bytes]:
    """Unpack the first member; whatever follows is no concern of the kernel's own decompressor."""
    decoder, rest = zlib.decompressobj(wbits=31), payload
    while not decoder.eof:
        piece = decoder.decompress(rest, PIECE_BYTES)
        rest = decoder.unconsumed_tail
        if not piece and not rest:
            raise EOFError("it ends early")
        yield piece


def _read_pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    return iter(lambda: read(PIECE_BYTES), b"")


def _decompress_lz4_legacy(blocks: bytes) -> Iterator[bytes]:
    """Unpack the blocks of an LZ4 legacy frame (lz4_Frame_format.md, "Legacy frame")."""
    at = 0
    while at < len(blocks):
        length = int.from_bytes(blocks[at : at + 4], "little")
        block = blocks[at + 4 : at + 4 + length]
        if length == 0 or len(block) != length:
            raise BadKernel("an LZ4 block lies outside the payload")
        yield lz4.block.decompress(block, uncompressed_size=LZ4_LEGACY_BLOCK)
        at += 4 + length


def _unpack_arm64(untrusted_file: bytes) -> Iterator[bytes]:
    if not untrusted_file.startswith(b"\x1f\x8b"):
        return iter([untrusted_file])
    return _bounded(_translated(_decompress_any(untrusted_file)))


def _bounded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        done += len(piece)
        if done > KERNEL_BYTES_MAX:
            raise BadKernel(f"it has more than {KERNEL_BYTES_MAX} bytes")
        yield piece
