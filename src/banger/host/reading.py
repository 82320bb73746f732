"""Read regular files beneath a directory, and nothing else.

A repository may hold links to the host's files, pipes and devices in place of files. Each part of
a path is opened beneath the one above it without following a link; what is no regular file, or
larger than its limit, is refused. Only reads.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from banger.errors import ConfigInvalid

FILE_MAX_BYTES = 64 * 1024
"""Largest `banger.toml`."""
_NOFOLLOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK = (errno.ELOOP, errno.EMLINK, errno.ENOTDIR)


class Content(NamedTuple):
    """A file that was read."""

    data: bytes
    executable: bool


def read_text(top: str | os.PathLike[str], path: str) -> str | None:
    """Return the text of a small file below a repository's top; None if there is none.

    Raises:
        ConfigInvalid: it is no regular file, is too large, or is no UTF-8.
    """
    content = read_below(top, path, limit=FILE_MAX_BYTES)
    try:
        return None if content is None else content.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{os.path.join(top, path)} is not UTF-8 text.") from error


def read_below(top: str | os.PathLike[str], path: str, *, limit: int) -> Content | None:
    """Return the content of a file below a directory; None if there is none.

    `path` is relative and has no `..`; the caller has checked it. `limit`: most bytes.

    Raises:
        ConfigInvalid: a link is on the way or at the end, or the file is not one to be read.
    """
    shown = os.path.join(top, path)
    try:
        fd = _open_below(top, path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _LINK:
            raise ConfigInvalid(
                f"{shown} is behind a symbolic link or a file, which are not followed.",
                hint=f"ls -ld {os.path.dirname(shown)}",
            ) from error
        raise ConfigInvalid(f"{shown} cannot be read: {error.strerror}.") from error
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigInvalid(f"{shown} is not a regular file.", hint=f"ls -ld {shown}")
        data = _read(fd, limit + 1)
    except OSError as error:
        raise ConfigInvalid(f"{shown} cannot be read: {error.strerror}.") from error
    finally:
        os.close(fd)
    if len(data) > limit:
        raise ConfigInvalid(f"{shown} has more than {limit} bytes.", hint=f"ls -l {shown}")
    return Content(data, bool(mode & stat.S_IXUSR))


def _open_below(top: str | os.PathLike[str], path: str) -> int:
    *directories, name = path.split("/")
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for directory in directories:
        fd = _step(fd, directory, _NOFOLLOW | os.O_DIRECTORY)
    # Without O_NONBLOCK the open of a pipe would wait for its writer.
    return _step(fd, name, _NOFOLLOW | os.O_NONBLOCK)


def _read(fd: int, most: int) -> bytes:
    parts = bytearray()
    while len(parts) < most and (part := os.read(fd, most - len(parts))):
        parts += part
    return bytes(parts)


def _step(fd: int, name: str, flags: int) -> int:
    """Open a name below `fd`, and close that."""
    try:
        return os.open(name, flags, dir_fd=fd)
    finally:
        os.close(fd)
