"""Read files of a work tree without ever leaving it.

A tracked `a/b` counts as missing if `a` is now a symbolic link: following the link
could send any file of the host (hazard F4). So every directory of a path is opened
without following links, relative to its parent, just as git does. Names in sorted
order share the open directories.

Read-only; owns only its open descriptors. Blocking: callers in the daemon run it in
a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from banger.errors import RepositoryRefused

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class WorkTree:
    """Open directories from the top down to the last requested name."""

    def __init__(self, top_fd: int) -> None:
        self._stack: list[tuple[bytes, int]] = [(b"", top_fd)]

    def status(self, name: bytes) -> os.stat_result | None:
        """Return the lstat(2) of a name, or None if it does not exist."""
        directory, base = self._parent(name)
        if directory is None:
            return None
        try:
            return os.stat(base, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def require_readable(self, name: bytes) -> None:
        """Check that a regular file can be opened for reading.

        Raises:
            PermissionError: the user may not read the file.
        """
        directory, base = self._parent(name)
        if directory is not None and not os.access(base, os.R_OK, dir_fd=directory):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    def read_link(self, name: bytes) -> bytes:
        directory, base = self._require_parent(name)
        return os.readlink(base, dir_fd=directory)

    def open(self, name: bytes) -> int:
        """Return a descriptor of a regular file, which the caller closes.

        Raises:
            FileNotFoundError: the name does not exist.
        """
        directory, base = self._require_parent(name)
        return os.open(base, _FILE, dir_fd=directory)

    def close(self) -> None:
        while self._stack:
            os.close(self._stack.pop()[1])

    def _require_parent(self, name: bytes) -> tuple[int, bytes]:
        directory, base = self._parent(name)
        if directory is None:  # which would mean this process's own
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return directory, base

    def _parent(self, name: bytes) -> tuple[int | None, bytes]:
        """Return the directory that contains `name` (None: missing, or behind a link)."""
        parts = name.split(b"/")
        depth = self._shared_depth(parts)
        while len(self._stack) > depth + 1:
            os.close(self._stack.pop()[1])
        for part in parts[depth:-1]:
            try:
                fd = os.open(part, _DIRECTORY, dir_fd=self._stack[-1][1])
            except (FileNotFoundError, NotADirectoryError):
                return None, parts[-1]
            except OSError as error:
                if error.errno == errno.ELOOP:  # a symbolic link
                    return None, parts[-1]
                raise
            self._stack.append((part, fd))
        return self._stack[-1][1], parts[-1]

    def _shared_depth(self, parts: list[bytes]) -> int:
        depth = 0
        limit = min(len(self._stack), len(parts)) - 1
        while depth < limit and self._stack[depth + 1][0] == parts[depth]:
            depth += 1
        return depth


@contextlib.contextmanager
def open_work_tree(top: Path) -> Iterator[WorkTree]:
    """Open a reader of the work tree at `top` for a `with` block.

    Raises:
        RepositoryRefused: a file may not be read; the message names it.
    """
    tree = WorkTree(os.open(top, _DIRECTORY & ~os.O_NOFOLLOW))
    try:
        yield tree
    except PermissionError as error:
        name = os.fsdecode(error.filename or b"?")
        raise RepositoryRefused(
            f"{name!r} in {top} is not readable by you.", hint=f"ls -l {top}"
        ) from error
    finally:
        tree.close()


def is_sendable(status: os.stat_result) -> bool:
    """Tell whether git can track a file of this type: a regular file or a symbolic link."""
    return stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
