"""Unpacking kernels: every compression, and everything that can be wrong."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import struct
from collections.abc import Callable

import lz4.block
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from banger.kernels.vmlinux import LZ4_LEGACY_BLOCK, LZ4_LEGACY_MAGIC, BadKernel, unpack_kernel
from tests.unit.kernels.samples import bzimage, elf

KERNEL = elf({".text": b"".join(bytes([value]) * 100_000 for value in range(256))})
"""More than three LZ4 blocks, of long runs: bzip2 sorts for seconds what repeats at a distance."""


def lz4_legacy(data: bytes) -> bytes:
    parts = [LZ4_LEGACY_MAGIC]
    for at in range(0, len(data), LZ4_LEGACY_BLOCK):
        block = lz4.block.compress(data[at : at + LZ4_LEGACY_BLOCK], store_size=False)
        parts.append(struct.pack("<I", len(block)) + block)
    return b"".join(parts)


def unpack(image: bytes, *, arch: str) -> bytes:
    return b"".join(unpack_kernel(image, arch=arch))


def sized(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: pack(data) + struct.pack("<I", len(data))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": sized(lz4_legacy),
    "gzip": lambda data: gzip.compress(data, 1),
    "xz": sized(lambda data: lzma.compress(data, preset=0)),
    "lzma": sized(lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE, preset=0)),
    "bzip2": sized(lambda data: bz2.compress(data, 1)),
    "zstd": sized(lambda data: zstandard.compress(data, 1)),
}


@pytest.mark.parametrize("packer", PACKERS)
def test_every_compression_is_unpacked(packer: str) -> None:
    image = bzimage(PACKERS[packer](KERNEL))
    assert unpack(image, arch="x86_64") == KERNEL


SMALL = elf({".text": b"x" * 5000})


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "neither a bzImage"),
        (bytes(4096), "neither a bzImage"),
        (bzimage(PACKERS["gzip"](SMALL), protocol=0x207), "older than 2.08"),
        (bzimage(PACKERS["gzip"](SMALL))[:1100], "outside the file"),
        (bzimage(b"LZOP" + bytes(100) + b"\1\0\0\0"), "unknown compression"),
        (bzimage(lz4_legacy(SMALL) + struct.pack("<I", 7)), "declares 7 bytes"),
        (bzimage(zstandard.compress(SMALL) + struct.pack("<I", 7)), "declares 7 bytes"),
        (bzimage(zstandard.compress(SMALL) + b"\xff\xff\xff\xff"), "declares 4294967295"),
        (bzimage(LZ4_LEGACY_MAGIC + b"\xff\xff\0\0" + b"ab" + b"\1\0\0\0"), "outside the payload"),
        (bzimage(PACKERS["xz"](b"a text" * 100)), "not an ELF file"),
        (bzimage(PACKERS["xz"](elf({}, machine=183))), "ELF machine 183"),
    ],
)
def test_what_is_wrong_is_said(image: bytes, reason: str) -> None:
    with pytest.raises(BadKernel, match=reason):
        unpack(image, arch="x86_64")


@given(packer=st.sampled_from(sorted(PACKERS)), at=st.integers(0, 3000), value=st.integers(0, 255))
def test_one_wrong_byte_is_refused_or_harmless(packer: str, at: int, value: int) -> None:
    image = bytearray(bzimage(PACKERS[packer](SMALL)))
    image[at % len(image)] = value
    with contextlib.suppress(BadKernel):
        assert unpack(bytes(image), arch="x86_64").startswith(b"\x7fELF")


def test_arm64_takes_an_image_plain_or_gzipped() -> None:
    image = bytes(0x38) + b"ARM\x64" + bytes(100)
    assert unpack(image, arch="aarch64") == image
    assert unpack(gzip.compress(image), arch="aarch64") == image
    with pytest.raises(BadKernel, match="not an arm64 Image"):
        unpack(SMALL, arch="aarch64")
