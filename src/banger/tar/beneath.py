"""Directories beneath an open one, reached without ever following a link.

Each part of a path is opened in the directory above it with O_NOFOLLOW, so neither `..`, which the
caller refuses, nor a link leads out. One descriptor is open at a time, however deep the path.
"""

from __future__ import annotations

import errno
import os

from banger.errors import CopyRefused
from banger.tar.format import shown

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Beneath:
    """Descriptors of directories beneath an open top, of which the last is kept open."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._path = b""
        self._fd = os.dup(top)

    def enter(self, path: bytes, *, make: bool = True) -> int:
        """Return a directory's descriptor, valid until the next call; make what is missing.

        Raises:
            CopyRefused: a link or a file is on the way.
        """
        if path != self._path:
            fd = self._open(path, make=make)
            os.close(self._fd)
            self._fd, self._path = fd, path
        return self._fd

    def close(self) -> None:
        """Close the last directory; the top is the caller's."""
        os.close(self._fd)

    def _open(self, path: bytes, *, make: bool) -> int:
        fd = os.dup(self._top)
        for part in path.split(b"/") if path else ():
            try:
                below = _open_below(fd, part, path, make=make)
            finally:
                os.close(fd)
            fd = below
        return fd


def _open_below(parent: int, part: bytes, path: bytes, *, make: bool) -> int:
    try:
        return os.open(part, _OPEN_DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
        os.mkdir(part, dir_fd=parent)
        return os.open(part, _OPEN_DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise CopyRefused(
            f"{shown(path)} cannot be created: {shown(part)} is a link or a file, and is not "
            "followed."
        ) from error
