"""Fetch the bytes of the guest's files into a pack of a private git directory.

Bounded: each file's record announces its size before the bytes arrive.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from banger.errors import ExportTooLarge
from banger.guest import GuestFiles
from banger.model.entries import GuestEntry
from banger.workspace.base import Seen, file_mode, seen_of
from banger.workspace.blobs import BlobPack, index_blobs
from banger.workspace.guestfiles import read_asked
from banger.workspace.trees import TreeEntry

FILE_BYTES_MAX = 1024**3
"""Git's own limit for a file in a patch."""
EXPORT_BYTES_MAX = 4 * 1024**3
_PACK = "objects/pack/pack-untrusted.pack"


class ReadFile(NamedTuple):
    """A file of the guest, and its stat(2) from before it was read."""

    entry: TreeEntry
    seen: Seen


async def gather(
    guest: GuestFiles,
    path: str,
    names: Sequence[bytes],
    git_dir: Path,
    *,
    object_format: str,
    deadline_s: float,
) -> dict[bytes, ReadFile]:
    """Read files and links into `git_dir`.

    A name that is gone meanwhile is left out.

    Raises:
        ExportTooLarge: a file, or the total, exceeds the limit of an export.
    """
    if not names:
        return {}
    with await asyncio.to_thread(open, git_dir / _PACK, "w+b") as output:
        gathered = _Gathered(BlobPack(output, object_format, level=0))
        async for item in read_asked(guest, path, names, deadline_s=deadline_s):
            if isinstance(item, GuestEntry):
                gathered.begin(item)
            else:
                gathered.pack.write(item)
        # `finish` reads the whole pack once more.
        await asyncio.to_thread(gathered.finish)
    if gathered.pack.count:
        await index_blobs(git_dir, git_dir / _PACK)
    else:
        (git_dir / _PACK).unlink()
    return gathered.found


class _Gathered:
    """The entries and the pack so far."""

    def __init__(self, pack: BlobPack) -> None:
        self.pack = pack
        self.found: dict[bytes, ReadFile] = {}
        self._current: GuestEntry | None = None
        self._bytes = 0

    def begin(self, entry: GuestEntry) -> None:
        """Start the next file; its bytes follow."""
        self._end()
        self._bytes += entry.size
        if entry.size > FILE_BYTES_MAX or self._bytes > EXPORT_BYTES_MAX:
            raise ExportTooLarge(
                f"The export is too large: {os.fsdecode(entry.name)!r} in the guest has "
                f"{entry.size} bytes.",
                hint="add it to .gitignore in the guest, or delete it there",
            )
        self.pack.begin(entry.size)
        self._current = entry

    def finish(self) -> None:
        """Finish the last file and the pack."""
        self._end()
        self.pack.finish()

    def _end(self) -> None:
        if self._current is not None:
            entry = TreeEntry(file_mode(self._current.mode), self.pack.end())
            self.found[self._current.name] = ReadFile(entry, seen_of(self._current))
            self._current = None
