"""Sets owner and time of a squashfs file's root inode.

sqfstar 4.5 takes `-root-uid`, `-root-gid` and `-root-time` and ignores them when
it reads a tar: the root directory belongs to whoever builds, with the time of the build. In a
guest that is a root directory of a stranger, and no two builds are equal. The metadata is
not compressed, so the three fields are set in place before the file is hashed.

Format: Linux, fs/squashfs/squashfs_fs.h (squashfs_super_block, squashfs_base_inode).
The table of ids keeps the builder's uid as an unused entry, so the digest of an image depends on
it; one user gets one digest.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from banger.errors import ToolFailed

MAGIC = b"hsqs"
METADATA_BYTES = 8192
UNCOMPRESSED = 0x8000
IDS_IN_BLOCK = METADATA_BYTES // 4


def set_root_inode(root: Path, *, mtime: int) -> None:
    """Make the root directory of a squashfs file belong to 0:0 with this time. Idempotent.

    Raises:
        ToolFailed: the file is not a squashfs 4.0 file with plain metadata.
    """
    with open(root, "r+b") as file:
        super_block = file.read(96)
        if super_block[:4] != MAGIC or struct.unpack_from("<HH", super_block, 28) != (4, 0):
            raise ToolFailed(f"sqfstar did not make {root} a squashfs 4.0 file.")
        id_count = struct.unpack_from("<H", super_block, 26)[0]
        reference, _, id_table, _, inode_table = struct.unpack_from("<QQQQQ", super_block, 32)
        index = _find_id(file, id_table, min(id_count, IDS_IN_BLOCK), wanted=0)
        # squashfs_base_inode: type u16, mode u16, uid u16, guid u16, mtime u32, number u32
        fields = struct.pack("<HHI", index, index, mtime)
        _write_metadata(file, inode_table + (reference >> 16), (reference & 0xFFFF) + 4, fields)


def _find_id(file: BinaryIO, table: int, count: int, *, wanted: int) -> int:
    """Return the index of an id in the first block of the table of ids."""
    file.seek(table)
    (block,) = struct.unpack("<Q", file.read(8))
    _require_plain(file, block)
    ids = struct.unpack(f"<{count}I", file.read(4 * count))
    if wanted not in ids:
        raise ToolFailed("Nothing in the image belongs to root.")
    return ids.index(wanted)


def _write_metadata(file: BinaryIO, block: int, offset: int, data: bytes) -> None:
    """Write into a metadata block; what does not fit goes into the next, which has a header too."""
    _require_plain(file, block)
    fitting = max(0, min(len(data), METADATA_BYTES - offset))
    file.seek(block + 2 + offset)
    file.write(data[:fitting])
    if fitting < len(data):
        following = block + 2 + METADATA_BYTES
        _write_metadata(file, following, max(0, offset - METADATA_BYTES), data[fitting:])


def _require_plain(file: BinaryIO, block: int) -> None:
    """Check a metadata block's header; the file stands behind it then."""
    file.seek(block)
    header = file.read(2)
    if len(header) != 2 or not struct.unpack("<H", header)[0] & UNCOMPRESSED:
        raise ToolFailed("The image's metadata is compressed or cut short.")
