"""A work tree as a stream of tar entries owned by root.

Times are whole seconds, as in a plain header.

Reads the work tree while streaming: a file that is gone by then is left out, as git
would see it. A file that shrinks while being read is an error, since its header has
already been sent. Blocking: run in a thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from banger.errors import RepositoryRefused
from banger.tar.write import (
    FileShrank,
    directory_entry,
    file_chunks,
    symlink_entry,
)
from banger.workspace.base import Seen, seen_of_status
from banger.workspace.blobs import blob_hash
from banger.workspace.facts import FileKind, WorkFile
from banger.workspace.names import parents
from banger.workspace.worktree import WorkTree, open_work_tree


@dataclass(frozen=True, slots=True)
class SentFile:
    """A sent file. `blob` is the id of exactly the sent bytes (empty for a directory).

    `seen` is from lstat(2) on the host; `top` is the tree that contains the file.
    """

    name: bytes
    top: Path
    seen: Seen
    blob: str

    @property
    def size(self) -> int:
        return self.seen.size if stat.S_ISREG(self.seen.mode) else 0


def work_tree_chunks(
    top: Path,
    files: Iterable[WorkFile],
    *,
    on_file: Callable[[SentFile], None],
    object_format: str = "sha1",
    with_directories: bool = True,
) -> Generator[bytes, None, None]:
    """Yield the entries of `files` (sorted by name) in their current state, in chunks.

    `on_file` is called with each sent file. `with_directories`: each directory above a file has an
    entry, which gives it a mode. Yields no end mark.

    Raises:
        RepositoryRefused: a file may not be read, or changed while being read.
    """
    made: set[bytes] = set()
    with _stable_files(), open_work_tree(top) as tree:
        for file in files:
            entry = _work_file(tree, file, object_format)
            first = next(entry, None)
            if first is None:
                continue
            for above in parents(file.name) if with_directories else ():
                if above not in made:
                    made.add(above)
                    yield directory_entry(above)
            yield first
            status, blob = yield from entry
            on_file(SentFile(file.name, top, seen_of_status(status), blob))


@contextlib.contextmanager
def _stable_files() -> Iterator[None]:
    """Raise RepositoryRefused for a file that becomes shorter while it is read."""
    try:
        yield
    except FileShrank as error:
        raise RepositoryRefused(
            f"{os.fsdecode(error.name)!r} shrank while it was read.",
            hint="banger vm workspace prepare, once nothing writes to the repository",
        ) from error


def _work_file(
    tree: WorkTree, file: WorkFile, object_format: str
) -> Generator[bytes, None, tuple[os.stat_result, str]]:
    """Yield a file's entry; yield nothing if it is gone or has a type that git cannot track.

    Returns the status and the blob of the yielded content.
    """
    status = tree.status(file.name)
    if status is None:
        return os.stat_result(range(10)), ""
    if file.kind in (FileKind.GITLINK, FileKind.DIRECTORY):
        if stat.S_ISDIR(status.st_mode):
            yield directory_entry(file.name)
    elif stat.S_ISLNK(status.st_mode):
        target = tree.read_link(file.name)
        yield symlink_entry(file.name, target, mtime_s=status.st_mtime_ns // 10**9)
        digest = blob_hash(object_format, len(target))
        digest.update(target)
        return status, digest.hexdigest()
    elif stat.S_ISREG(status.st_mode):
        return (yield from _regular_file(tree, file.name, object_format))
    return status, ""


def _regular_file(
    tree: WorkTree, name: bytes, object_format: str
) -> Generator[bytes, None, tuple[os.stat_result, str]]:
    fd = tree.open(name)
    try:
        status = os.fstat(fd)
        digest = blob_hash(object_format, status.st_size)
        yield from file_chunks(name, fd, status=status, on_content=digest.update)
        return status, digest.hexdigest()
    finally:
        os.close(fd)
