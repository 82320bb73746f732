"""The stand-in's memory of its guest: mapped as Firecracker maps it, and written to a little.

The agent has a memory of its own, so nothing of this is used. It is there for who reads it from
outside, saves it, and restores it: pages that only this machine has, and a note of which.
"""

from __future__ import annotations

import mmap
import os

PAGE = 4096
COOKIE_BYTES = 16


class Memory:
    """The guest's memory; `path` is what it begins as (private), None: holes."""

    def __init__(self, size: int, path: str | None = None) -> None:
        self.size = size
        self._changed: set[int] = set()
        self._pages = iter(range(size // PAGE))
        if path is None:
            self._map = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        else:
            with open(path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
        # Else the kernel would make one mapping of this one and its neighbours.
        self._map.madvise(mmap.MADV_DONTDUMP)

    def change(self) -> None:
        """Write to the next page, as a guest that runs does."""
        page = next(self._pages)
        self._map[page * PAGE : page * PAGE + COOKIE_BYTES] = os.urandom(COOKIE_BYTES)
        self._changed.add(page)

    def write(self, path: str, *, only_changed: bool) -> None:
        """Write the memory, or what has changed since the last time, over a file."""
        pages = sorted(self._changed) if only_changed else range(self.size // PAGE)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with open(fd, "wb") as file:
            os.ftruncate(fd, self.size)
            for page in pages:
                os.pwrite(file.fileno(), self._map[page * PAGE : (page + 1) * PAGE], page * PAGE)
            os.fsync(fd)
        self._changed.clear()
