"""The changes on the host since a workspace was copied in, as far as stat(2) shows.

The base has what the guest's files were right after the import, and these had the sizes, the
whole seconds of the modification times, and the modes of the host's. So no file is read: a change
that keeps all of them is not seen. Read-only, blocking, no lock.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from banger.workspace.base import Base, BaseFile
from banger.workspace.trees import MODE_GITLINK
from banger.workspace.worktree import open_work_tree


def find_stale(base: Base, top: Path) -> tuple[bytes, ...]:
    """Return the names of the base whose files in `top` have changed or are gone; sorted.

    Raises:
        RepositoryRefused: a directory may not be read.
    """
    if base.is_other_commit:
        return ()  # The files were not those of the work tree.
    with open_work_tree(top) as tree:
        return tuple(f.name for f in base.files if is_stale(f, tree.status(f.name)))


def is_stale(file: BaseFile, status: os.stat_result | None) -> bool:
    """Tell whether a file of the host is surely another than the one that was put in."""
    seen = file.seen
    if file.mode == MODE_GITLINK:
        return False
    if status is None:
        return True
    if seen is None:
        return False
    if stat.S_IFMT(status.st_mode) != stat.S_IFMT(seen.mode) or status.st_size != seen.size:
        return True
    if stat.S_ISLNK(status.st_mode):
        return False
    mode_differs = (status.st_mode ^ seen.mode) & stat.S_IXUSR
    known_s = seen.mtime_ns // 10**9 if file.host_mtime_s is None else file.host_mtime_s
    return bool(mode_differs) or status.st_mtime_ns // 10**9 != known_s
