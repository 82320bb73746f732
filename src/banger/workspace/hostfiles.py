"""The host's side of an apply: read the files that a guest changed, write the result.

Reads without following links (`worktree.py`). Writes through `banger.tar.extract`, which follows no
link either, gives a file its name only when it is whole, and refuses a directory in the way. A
crash leaves some files written: applying again finds them there and goes on. Blocking; no lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

from banger.errors import CopyRefused, RepositoryRefused
from banger.tar.beneath import Beneath
from banger.tar.extract import extract
from banger.tar.format import END_OF_TAR
from banger.tar.write import gathered
from banger.workspace.base import Seen, file_mode, seen_of_status
from banger.workspace.blobs import blob_hash
from banger.workspace.facts import FileKind, WorkFile
from banger.workspace.merging import HostFiles
from banger.workspace.names import parents
from banger.workspace.tarstream import SentFile, work_tree_chunks
from banger.workspace.trees import MODE_EXECUTABLE, MODE_SYMLINK, Entries, TreeEntry
from banger.workspace.worktree import WorkTree, is_sendable, open_work_tree

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CHUNK_BYTES = 512 * 1024


def read_host_files(
    top: Path, names: Iterable[bytes], object_format: str, *, modes: Mapping[bytes, int]
) -> HostFiles:
    """Return the host's files of these names, of the names above them, and below them.

    `modes`: those of regular files, where the repository does not trust the host's.

    Raises:
        RepositoryRefused: a file may not be read, or changes while it is.
    """
    wanted = set(names)
    entries: dict[bytes, TreeEntry] = {}
    other: set[bytes] = set()
    below: dict[bytes, frozenset[bytes]] = {}
    seen: dict[bytes, Seen] = {}
    with open_work_tree(top) as tree:
        for name in sorted({*wanted, *(above for each in wanted for above in parents(each))}):
            status = tree.status(name)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                if name in wanted:
                    below[name] = frozenset(_names_below(os.fsencode(top), name))
            elif is_sendable(status):
                try:
                    entries[name] = _read(tree, name, status, object_format)
                except FileNotFoundError as error:
                    raise changed_meanwhile(Path(os.fsdecode(name))) from error
                seen[name] = seen_of_status(status)
            else:
                other.add(name)
    for name, mode in modes.items():
        if name in entries and entries[name].mode != MODE_SYMLINK:
            entries[name] = TreeEntry(mode, entries[name].blob)
    return HostFiles(entries, frozenset(other), below, seen)


def copy_host_file(top: Path, name: bytes, target: Path) -> None:
    """Copy a regular file of the host into a private directory."""
    with open_work_tree(top) as tree:
        try:
            fd = tree.open(name)
        except OSError as error:
            raise changed_meanwhile(Path(os.fsdecode(name))) from error
        with os.fdopen(fd, "rb") as source, open(target, "xb") as copy:
            shutil.copyfileobj(source, copy)


def changed_meanwhile(path: Path) -> RepositoryRefused:
    """Return the error for files of the host that are changed meanwhile."""
    return RepositoryRefused(
        f"{os.fspath(path)!r} changed while it was compared.",
        hint="the same again, once nothing writes to the repository",
    )


def remove_files(top: Path, names: Iterable[bytes]) -> None:
    """Remove files, and the directories above them that become empty."""
    with beneath(top) as walk:
        # The inner names first, so that a directory is empty when its turn comes.
        for name in sorted(names, reverse=True):
            with contextlib.suppress(FileNotFoundError, CopyRefused):
                above, _, last = name.rpartition(b"/")
                os.unlink(last, dir_fd=walk.enter(above, make=False))
                remove_empty(walk, above)


@contextlib.contextmanager
def beneath(top: Path) -> Iterator[Beneath]:
    """Open the directories of a work tree for a block."""
    fd = os.open(top, _DIRECTORY)
    try:
        walk = Beneath(fd)
        try:
            yield walk
        finally:
            walk.close()
    finally:
        os.close(fd)


def write_files(top: Path, made: Path, files: Entries) -> None:
    """Move the files that lie in `made` to their names below `top`; keep the modes of old ones.

    Raises:
        CopyRefused: a link or a directory has come in the way meanwhile.
        NoSpace, OperationFailed: a file cannot be written.
    """
    _set_modes(top, made, files)
    listed = [WorkFile(name, _kind(files[name]), 0) for name in sorted(files)]
    fd = os.open(top, _DIRECTORY)
    try:
        extract(gathered(_stream(made, listed)), fd, on_bytes=_ignore)
    finally:
        os.close(fd)


def _stream(made: Path, files: list[WorkFile]) -> Generator[bytes, None, None]:
    # Without directories: those that are there keep their modes.
    yield from work_tree_chunks(made, files, on_file=_ignore_file, with_directories=False)
    yield END_OF_TAR


def _kind(entry: TreeEntry) -> FileKind:
    return FileKind.SYMLINK if entry.mode == MODE_SYMLINK else FileKind.FILE


def _set_modes(top: Path, made: Path, files: Entries) -> None:
    """Give each file the mode that the host's has, but for the executable bits."""
    with open_work_tree(top) as tree:
        for name, entry in files.items():
            if entry.mode == MODE_SYMLINK:
                continue
            status = tree.status(name)
            mode = new_mode(None if status is None else status.st_mode, entry.mode)
            os.chmod(os.path.join(os.fsencode(made), name), mode)


def new_mode(st_mode: int | None, wanted: int) -> int:
    """Return a file's permissions: as before, executable or not for everyone who may read.

    `st_mode` is that of what has the name now; None: nothing has.
    """
    old = st_mode & 0o777 if st_mode is not None and stat.S_ISREG(st_mode) else 0o644
    return old | (old & 0o444) >> 2 if wanted == MODE_EXECUTABLE else old & ~0o111


def _read(tree: WorkTree, name: bytes, status: os.stat_result, object_format: str) -> TreeEntry:
    if stat.S_ISLNK(status.st_mode):
        target = tree.read_link(name)
        digest = blob_hash(object_format, len(target))
        digest.update(target)
        return TreeEntry(MODE_SYMLINK, digest.hexdigest())
    with os.fdopen(tree.open(name), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = blob_hash(object_format, size)
        read = 0
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            read += len(chunk)
    if read != size:
        raise changed_meanwhile(Path(os.fsdecode(name)))
    return TreeEntry(file_mode(status.st_mode), digest.hexdigest())


def _names_below(top: bytes, name: bytes) -> Iterator[bytes]:
    for directory, directories, files in os.walk(os.path.join(top, name)):
        links = [d for d in directories if os.path.islink(os.path.join(directory, d))]
        for each in [*files, *links]:
            yield os.path.relpath(os.path.join(directory, each), top)
        if not directories and not files and directory != os.path.join(top, name):
            yield os.path.relpath(directory, top)  # An empty directory is something, too.


def remove_empty(walk: Beneath, directory: bytes) -> None:
    """Remove a directory, and those above it, as far as they are empty."""
    while directory:
        above, _, last = directory.rpartition(b"/")
        try:
            os.rmdir(last, dir_fd=walk.enter(above, make=False))
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOENT):
                return
            raise
        directory = above


def _ignore(count: int) -> None:
    """Ignore progress."""


def _ignore_file(file: SentFile) -> None:
    """Ignore files."""
