"""Which files a guest can have as its root, told by their first bytes."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import InvalidRequest
from banger.images.superblock import parse_superblock


def head(
    *, compression: int = 6, block_log: int = 17, version: tuple[int, int] = (4, 0), used: int = 96
) -> bytes:
    fields = struct.pack("<4sIIIIHHHHHH", b"hsqs", 1, 0, 2**17, 0, compression, block_log, 0, 1,
                         *version)  # fmt: skip
    return (fields + struct.pack("<QQ", 0, used)).ljust(2048, b"\0")


def test_every_compression_of_kernels() -> None:
    found = [parse_superblock(head(compression=n), size=4096, what="f") for n in (1, 3, 4, 5, 6)]
    assert found == ["gzip", "lzo", "xz", "lz4", "zstd"]


@pytest.mark.parametrize(
    ("untrusted", "fact"),
    [
        (head(compression=2), "compression lzma"),
        (head(compression=77), "compression 77"),
        (head(version=(3, 1)), "version 3.1"),
        (head(block_log=30), "that Linux cannot read"),
        (head(used=2**40), "truncated: it has 4096 bytes"),
        (head()[:95], "is not a squashfs"),
        (b"", "is not a squashfs file."),
        (b"\x1f\x8b\x08", "but packed with gzip"),
        (b"QFI\xfb", "but a qcow2 disk"),
        (bytes(257) + b"ustar", "but a tar"),
        (bytes(1024) + b"\xe2\xe1\xf5\xe0", "but an erofs"),
        (bytes(1080) + b"\x53\xef", "but an ext4"),
        (bytes(510) + b"\x55\xaa", "but a disk with partitions"),
    ],
)
def test_what_is_refused_is_named(untrusted: bytes, fact: str) -> None:
    """H6."""
    with pytest.raises(InvalidRequest, match=fact):
        parse_superblock(untrusted, size=4096, what="f")


@given(st.binary(max_size=120).map(b"hsqs".__add__), st.integers(0, 2**63))
def test_no_bytes_do_more_than_be_refused(untrusted: bytes, size: int) -> None:
    """F1."""
    with contextlib.suppress(InvalidRequest):
        parse_superblock(untrusted, size=size, what="f")
