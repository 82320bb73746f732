"""Tell whether a file is a squashfs that a guest can mount. Pure.

Format: Linux, fs/squashfs/squashfs_fs.h (struct squashfs_super_block), little-endian, 96 bytes.
"""

from __future__ import annotations

import struct

from banger.errors import InvalidRequest

MAGIC = b"hsqs"
SUPERBLOCK_BYTES = 96
BLOCK_LOG = range(12, 21)
"""4 KiB to 1 MiB."""
COMPRESSIONS = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
UNREADABLE = ("lzma",)
"""No Linux kernel reads them."""

_OTHERS = (
    (0, b"QFI\xfb", "a qcow2 disk"),
    (0, b"\x1f\x8b", "packed with gzip"),
    (0, b"\x28\xb5\x2f\xfd", "packed with zstd"),
    (0, b"\xfd7zXZ", "packed with xz"),
    (257, b"ustar", "a tar"),
    (510, b"\x55\xaa", "a disk with partitions"),
    (1024, b"\xe2\xe1\xf5\xe0", "an erofs"),
    (1080, b"\x53\xef", "an ext4"),
)


def parse_superblock(untrusted_head: bytes, *, size: int, what: str) -> str:
    """Check a file's first bytes; return how the squashfs is compressed.

    `what` names the file in errors.

    Raises:
        InvalidRequest: it is no squashfs 4.0, not whole, or compressed as no kernel reads.
    """
    if untrusted_head[:4] != MAGIC or len(untrusted_head) < SUPERBLOCK_BYTES:
        kinds = (kind for at, mark, kind in _OTHERS if untrusted_head[at : at + len(mark)] == mark)
        found = next(kinds, None)
        raise InvalidRequest(
            f"{what} is not a squashfs file" + (f", but {found}." if found else "."),
            hint="tar -C DIRECTORY -c . | banger image import - NAME",
        )
    compression, block_log = struct.unpack_from("<HH", untrusted_head, 20)
    version = struct.unpack_from("<HH", untrusted_head, 28)
    (bytes_used,) = struct.unpack_from("<Q", untrusted_head, 40)
    name = COMPRESSIONS.get(compression)
    if version != (4, 0) or name is None or name in UNREADABLE or block_log not in BLOCK_LOG:
        raise InvalidRequest(
            f"{what} is a squashfs file that Linux cannot read (version "
            f"{version[0]}.{version[1]}, compression {name or compression}).",
            hint="mksquashfs DIRECTORY FILE",
        )
    if bytes_used > size:
        raise InvalidRequest(f"{what} is truncated: it has {size} bytes of {bytes_used}.")
    return name
