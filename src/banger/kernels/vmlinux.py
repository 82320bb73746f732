"""From the compressed kernel to the plain one. Pure.

x86: a bzImage carries the compressed ELF file; its setup header says where
(Documentation/arch/x86/boot.rst: payload_offset at 0x248, payload_length at 0x24c,
boot protocol 2.08 and newer). The payload starts with the magic of its compression, and all
but gzip are followed by the unpacked size in four bytes.

arm64: the plain kernel is an `Image`, perhaps compressed with gzip as a whole.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib

import lz4.block  # type: ignore[import-untyped]
import zstandard

from banger.kernels.elf import MACHINES, NotElf, read_machine

KERNEL_BYTES_MAX = 512 * 1024 * 1024
LZ4_LEGACY_MAGIC = b"\x02\x21\x4c\x18"
LZ4_LEGACY_BLOCK = 8 * 1024 * 1024
ARM64_IMAGE_MAGIC = b"ARM\x64"
_BANNER = re.compile(rb"Linux version (?P<version>[0-9][A-Za-z0-9.+~_-]{0,99}) ")


class BadKernel(ValueError):
    """The bytes are not a kernel that we can unpack."""


def unpack_kernel(untrusted_file: bytes, *, arch: str) -> bytes:
    """Return the uncompressed kernel: an ELF `vmlinux` (x86-64) or an `Image` (arm64).

    Raises:
        BadKernel: it has another shape, or is for another machine.
    """
    if arch == "aarch64":
        return _unpack_arm64(untrusted_file)
    kernel = untrusted_file
    if not is_elf(untrusted_file):
        kernel = _decompress(_find_payload(untrusted_file))
    try:
        machine = read_machine(kernel)
    except NotElf as error:
        raise BadKernel(f"the unpacked kernel is no ELF file: {error}") from error
    if machine != MACHINES[arch]:
        raise BadKernel(f"the kernel is for ELF machine {machine}, not for {arch}")
    return kernel


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


def _decompress(payload: bytes) -> bytes:
    """Unpack a payload of any compression whose magic we know; the size must be as announced."""
    size = int.from_bytes(payload[-4:], "little")
    if not 0 < size <= KERNEL_BYTES_MAX:
        raise BadKernel(f"its payload announces {size} bytes")
    try:
        kernel = _decompress_to(payload, size)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, lz4.block.LZ4BlockError) as e:
        raise BadKernel(f"its payload does not decompress: {e}") from e
    if len(kernel) != size:
        raise BadKernel(f"its payload announces {size} bytes and holds {len(kernel)}")
    return kernel


def _decompress_to(payload: bytes, size: int) -> bytes:
    """Return at most one byte more than `size`, so that a longer stream is noticed."""
    if payload.startswith(LZ4_LEGACY_MAGIC):
        return _decompress_lz4_legacy(payload[4:-4], size)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(payload, size + 1)
    if payload.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return lzma.LZMADecompressor().decompress(payload, size + 1)
    if payload.startswith(b"BZh"):
        return bz2.BZ2Decompressor().decompress(payload, size + 1)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        with zstandard.ZstdDecompressor().stream_reader(payload) as reader:
            return bytes(reader.read(size + 1))
    raise BadKernel(f"its payload has an unknown compression: {payload[:6].hex()}")


def _decompress_lz4_legacy(blocks: bytes, size: int) -> bytes:
    """Unpack the blocks of an LZ4 legacy frame (lz4_Frame_format.md, "Legacy frame")."""
    parts: list[bytes] = []
    done = 0
    at = 0
    while at < len(blocks) and done <= size:
        length = int.from_bytes(blocks[at : at + 4], "little")
        block = blocks[at + 4 : at + 4 + length]
        if length == 0 or len(block) != length:
            raise BadKernel("an LZ4 block lies outside the payload")
        parts.append(lz4.block.decompress(block, uncompressed_size=LZ4_LEGACY_BLOCK))
        done += len(parts[-1])
        at += 4 + length
    return b"".join(parts)


def _unpack_arm64(untrusted_file: bytes) -> bytes:
    kernel = untrusted_file
    if kernel.startswith(b"\x1f\x8b"):
        try:
            kernel = zlib.decompressobj(wbits=31).decompress(kernel, KERNEL_BYTES_MAX)
        except zlib.error as error:
            raise BadKernel(f"it does not decompress: {error}") from error
    if kernel[0x38:0x3C] != ARM64_IMAGE_MAGIC:
        raise BadKernel("it is no arm64 Image")
    return kernel
