"""Sets mode, owner and time of a squashfs file's root inode.

sqfstar 4.5 takes `-root-uid`, `-root-gid` and `-root-time` and ignores them when
it reads a tar: the root directory belongs to whoever builds, with the time of the build. In a
guest that is a root directory of a stranger, and no two builds are equal. The metadata is
not compressed, so the fields are set in place before the file is hashed.

Format: Linux, fs/squashfs/squashfs_fs.h (squashfs_super_block, squashfs_base_inode).
The table of ids keeps the builder's uid as an unused entry, so the digest of an image depends on
it; one user gets one digest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from banger.errors import ToolFailed

MAGIC = b"hsqs"
METADATA_BYTES = 8192
UNCOMPRESSED = 0x8000
IDS_IN_BLOCK = METADATA_BYTES // 4


@dataclass(frozen=True)
class RootInode:
    """What the root directory is to be. Its owner must be one that something else has, too."""

    mtime: int
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


def set_root_inode(root: Path, inode: RootInode) -> None:
    """Give the root directory of a squashfs file these attributes. Idempotent.

    Raises:
        ToolFailed: the file is not a squashfs 4.0 file with plain metadata.
    """
    with open(root, "r+b") as file:
        super_block = file.read(96)
        if super_block[:4] != MAGIC or struct.unpack_from("<HH", super_block, 28) != (4, 0):
            raise ToolFailed(f"sqfstar did not write a squashfs 4.0 file to {root}.")
        id_count = struct.unpack_from("<H", super_block, 26)[0]
        reference, _, id_table, _, inode_table = struct.unpack_from("<QQQQQ", super_block, 32)
        ids = _read_ids(file, id_table, id_count)
        uid, gid = (_find_id(ids, wanted) for wanted in (inode.uid, inode.gid))
        # squashfs_base_inode: type u16, mode u16, uid u16, guid u16, mtime u32, number u32
        fields = struct.pack("<HHHI", inode.mode, uid, gid, inode.mtime)
        _write_metadata(file, inode_table + (reference >> 16), (reference & 0xFFFF) + 2, fields)


def _read_ids(file: BinaryIO, table: int, count: int) -> list[int]:
    """Return the table of ids: blocks of metadata, with a list of their places behind them."""
    ids: list[int] = []
    file.seek(table)
    places = struct.unpack(
        f"<{-(-count // IDS_IN_BLOCK)}Q", file.read(-(-count // IDS_IN_BLOCK) * 8)
    )
    for place in places:
        _require_plain(file, place)
        number = min(count - len(ids), IDS_IN_BLOCK)
        ids += struct.unpack(f"<{number}I", file.read(4 * number))
    return ids


def _find_id(ids: list[int], wanted: int) -> int:
    if wanted not in ids:
        raise ToolFailed(f"Nothing in the image belongs to {wanted}, as its root directory does.")
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
