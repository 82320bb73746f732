"""Git's index file, versions 2 to 4: parse the entries, replace their stat data.

The index is the host's own, and git has just read it. An index of unknown format is refused.
Pure. The format is gitformat-index(5).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

from banger.errors import RepositoryRefused
from banger.model.entries import GuestEntry

_STAT = struct.Struct(">10I")
"""ctime s, ns; mtime s, ns; device; inode; mode; uid; gid; size."""
_LOW = 0xFFFFFFFF
_EXTENDED = 0x4000
_STAGE = 0x3000
_SKIP_WORKTREE = 0x4000


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One entry. The stat data is from git's last look at the file, truncated to 32 bits."""

    name: bytes
    mode: int
    stage: int
    blob: str
    skip_worktree: bool
    ctime_s: int
    mtime_s: int
    inode: int
    size: int
    offset: int
    """Offset of the entry's stat data in the index file."""


def parse_index(content: bytes, object_format: str) -> list[IndexEntry]:
    """Return the entries of an index.

    Raises:
        RepositoryRefused: the index is broken or of an unknown version.
    """
    try:
        return _parse(content, hashlib.new(object_format).digest_size)
    except (struct.error, IndexError, ValueError) as error:
        raise RepositoryRefused("The index of the repository cannot be read.") from error


def restat_index(
    content: bytes,
    object_format: str,
    *,
    find: Callable[[IndexEntry], GuestEntry | None],
) -> bytes:
    """Return the index with the stat data from `find`; None keeps an entry unchanged."""
    changed = bytearray(content)
    for entry in parse_index(content, object_format):
        seen = find(entry)
        if seen is not None:
            _STAT.pack_into(changed, entry.offset, *_stat_data(entry, seen))
    size = hashlib.new(object_format).digest_size
    body = memoryview(changed)[:-size]
    digest = hashlib.new(object_format, body, usedforsecurity=False).digest()
    return bytes(body) + digest


def _stat_data(entry: IndexEntry, seen: GuestEntry) -> tuple[int, ...]:
    ctime_s, ctime_ns = divmod(seen.ctime_ns, 10**9)
    mtime_s, mtime_ns = divmod(seen.mtime_ns, 10**9)
    return (
        ctime_s & _LOW,
        ctime_ns,
        mtime_s & _LOW,
        mtime_ns,
        0,
        seen.inode & _LOW,
        entry.mode,
        seen.uid,
        seen.gid,
        seen.size & _LOW,
    )


def _parse(content: bytes, id_bytes: int) -> list[IndexEntry]:
    signature, version, count = struct.unpack_from(">4sII", content)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise ValueError(f"an index of version {version}")
    entries: list[IndexEntry] = []
    at, name = 12, b""
    for _ in range(count):
        start = at
        ctime_s, _, mtime_s, _, _, inode, mode, _, _, size = _STAT.unpack_from(content, at)
        at += _STAT.size
        blob = content[at : at + id_bytes].hex()
        at += id_bytes
        flags, extended = int.from_bytes(content[at : at + 2], "big"), 0
        at += 2
        if flags & _EXTENDED:
            extended = int.from_bytes(content[at : at + 2], "big")
            at += 2
        if version == 4:
            name, at = _prefixed_name(content, at, name)
        else:
            end = content.index(b"\0", at)
            name = content[at:end]
            at = end + 8 - (end - start) % 8
        entries.append(
            IndexEntry(
                name=name,
                mode=mode,
                stage=(flags & _STAGE) >> 12,
                blob=blob,
                skip_worktree=bool(extended & _SKIP_WORKTREE),
                ctime_s=ctime_s,
                mtime_s=mtime_s,
                inode=inode,
                size=size,
                offset=start,
            )
        )
    return entries


def _prefixed_name(content: bytes, at: int, before: bytes) -> tuple[bytes, int]:
    """Parse a name of version 4: bytes to drop from the name before, then bytes to append."""
    byte = content[at]
    strip = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = content[at]
        strip = ((strip + 1) << 7) | (byte & 0x7F)
    end = content.index(b"\0", at + 1)
    return before[: len(before) - strip] + content[at + 1 : end], end + 1
