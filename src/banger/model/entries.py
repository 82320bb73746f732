"""A file of a guest as the guest describes it. Pure."""

from __future__ import annotations

from typing import NamedTuple


class GuestEntry(NamedTuple):
    """One name in the guest, as lstat(2) there says. `name` is relative to what was asked.

    The name was checked to stay below that directory; nothing else in it can be trusted.
    """

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int
