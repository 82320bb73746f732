"""The host's side of a sync: read what takes part, pack what goes out, change single files.

Each file is compared with what was read immediately before it is replaced or removed, and what
somebody has changed meanwhile stays. Nothing is written through a link (hazard E1). A file gets its
name only when it is whole and on the disk, so a process that dies leaves each file as it was or
done, and temporary files of at most one batch. Blocking; no lock.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from banger.errors import CopyRefused
from banger.host.files import name_os_error
from banger.tar.beneath import Beneath
from banger.tar.left import new_temporary_name, open_temporary, remove_left
from banger.workspace.base import Seen, seen_of_status
from banger.workspace.blobs import BlobPack, add_file
from banger.workspace.hostfiles import beneath, new_mode, remove_empty
from banger.workspace.names import parents
from banger.workspace.syncplan import SideChanges
from banger.workspace.trees import MODE_SYMLINK, Entries
from banger.workspace.worktree import open_work_tree

_BATCH = 32
"""Files that are flushed at once: a file system that has a journal writes it once for them all."""


def pack_host_files(top: Path, files: Entries, pack: BlobPack) -> frozenset[bytes]:
    """Write the contents of files into a pack; return the names whose content is another by now."""
    changed = set()
    with open_work_tree(top) as tree:
        for name in sorted(files):
            if add_file(pack, tree, name) != files[name].blob:
                changed.add(name)
    pack.finish()
    return frozenset(changed)


def change_host(
    top: Path, changes: SideChanges, known: Mapping[bytes, Seen], made: Path
) -> frozenset[bytes]:
    """Remove and write files; the new ones lie in `made`. Return the names that were left alone.

    `known` has the stat(2) of each file that is there.

    Raises:
        NoSpace, HostFailed: a file cannot be written; others may have been.
    """
    try:
        with beneath(top) as walk:
            _remove_left(walk, changes)
            # The inner names first, so that a directory is empty when its turn comes.
            names = sorted(changes.remove, reverse=True)
            done = {name for name in names if _remove(walk, name, known[name])}
            with ThreadPoolExecutor(_BATCH, "sync-flush") as flushing:
                for names in _batches(changes.write):
                    files = [_NewFile(n, made, changes.write[n].mode, known.get(n)) for n in names]
                    done |= _place(walk, files, flushing)
                _flush_directories(walk, done, flushing)
    except OSError as error:
        raise name_os_error(error, where=top) from error
    return (changes.remove | changes.write.keys()) - done


def _batches(names: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = sorted(names)
    return (rest[start : start + _BATCH] for start in range(0, len(rest), _BATCH))


def _flush(flushing: Executor, fds: Iterable[int]) -> None:
    for _ in flushing.map(os.fsync, fds):
        pass


def _flush_directories(walk: Beneath, names: Iterable[bytes], flushing: Executor) -> None:
    """Have the new names on the disk, since the base will be: an old file would be a change."""
    for directories in _batches({above for name in names for above in (b"", *parents(name))}):
        with contextlib.ExitStack() as opened:
            fds = []
            for directory in directories:
                with contextlib.suppress(FileNotFoundError, CopyRefused):
                    fds.append(os.dup(walk.enter(directory, make=False)))
                    opened.callback(os.close, fds[-1])
            _flush(flushing, fds)


def _remove_left(walk: Beneath, changes: SideChanges) -> None:
    """Remove what a sync that was killed has left in the directories of these files."""
    for directory in {name.rpartition(b"/")[0] for name in changes.write}:
        with contextlib.suppress(FileNotFoundError, CopyRefused):
            remove_left(walk.enter(directory, make=False))


def look_at_host(top: Path, names: Iterable[bytes]) -> dict[bytes, Seen]:
    """Return the stat(2) of these names."""
    with open_work_tree(top) as tree:
        found = ((name, tree.status(name)) for name in sorted(names))
        return {name: seen_of_status(status) for name, status in found if status is not None}


def _remove(walk: Beneath, name: bytes, known: Seen) -> bool:
    above, _, last = name.rpartition(b"/")
    try:
        parent = walk.enter(above, make=False)
    except (FileNotFoundError, CopyRefused):
        return False
    if _look(parent, last) != known:
        return False
    os.unlink(last, dir_fd=parent)
    remove_empty(walk, above)
    return True


@dataclass(frozen=True)
class _NewFile:
    """A file or link to write; its content lies below `made`, under the same name."""

    name: bytes
    made: Path
    mode: int
    known: Seen | None

    @property
    def source(self) -> bytes:
        return os.path.join(os.fsencode(self.made), self.name)

    @property
    def permissions(self) -> int:
        """Those of the file that it replaces, but for the executable bits."""
        return new_mode(self.known.mode if self.known else None, self.mode)


def _place(walk: Beneath, files: Iterable[_NewFile], flushing: Executor) -> set[bytes]:
    """Write files aside, flush them, and give them their names; return the names."""
    with contextlib.ExitStack() as undo:
        aside = []
        for file in files:
            with contextlib.suppress(CopyRefused):
                aside.append((file, *undo.enter_context(_made_aside(walk, file))))
        _flush(flushing, (fd for _, _, fd in aside if fd is not None))
        return {file.name for file, temporary, fd in aside if _rename(walk, file, temporary, fd)}


@contextlib.contextmanager
def _made_aside(walk: Beneath, file: _NewFile) -> Iterator[tuple[bytes, int | None]]:
    """Copy a file or link under a temporary name, which is removed if it is left.

    Yields the name, and the descriptor of a file.
    """
    above = file.name.rpartition(b"/")[0]
    parent = walk.enter(above)
    with contextlib.ExitStack() as undo:
        fd = None
        if file.mode == MODE_SYMLINK:
            temporary = new_temporary_name()
            undo.callback(_unlink, walk, above, temporary)
            os.symlink(os.readlink(file.source), temporary, dir_fd=parent)
        else:
            temporary, fd = open_temporary(parent)
            undo.callback(os.close, fd)  # and with it the lock
            undo.callback(_unlink, walk, above, temporary)
            with open(fd, "wb", closefd=False) as target, open(file.source, "rb") as content:
                shutil.copyfileobj(content, target)
        yield temporary, fd


def _unlink(walk: Beneath, above: bytes, name: bytes) -> None:
    with contextlib.suppress(FileNotFoundError, CopyRefused):
        os.unlink(name, dir_fd=walk.enter(above, make=False))


def _rename(walk: Beneath, file: _NewFile, temporary: bytes, fd: int | None) -> bool:
    above, _, last = file.name.rpartition(b"/")
    try:
        parent = walk.enter(above, make=False)
        if fd is not None:
            # Not before, since it is by its mode that the next sync knows a leftover.
            os.fchmod(fd, file.permissions)
        if _look(parent, last) != file.known:
            return False
        os.rename(temporary, last, src_dir_fd=parent, dst_dir_fd=parent)
    except (FileNotFoundError, CopyRefused):  # the directory is another one by now
        return False
    return True


def _look(parent: int, name: bytes) -> Seen | None:
    try:
        return seen_of_status(os.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return None
