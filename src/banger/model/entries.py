"""A guest's file, as the guest describes it. Pure."""

from __future__ import annotations

from typing import NamedTuple


class GuestEntry(NamedTuple):
    """A file as the guest's lstat(2) describes it; `name` is relative to the requested directory.

    The name is checked to stay below that directory; trust nothing else in an entry.
    """

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int
