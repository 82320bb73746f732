"""Files that a killed extraction has left behind, under their temporary names.

An extraction has its temporary file locked while there is one, so a file without a lock is
left over. The next extraction into the directory removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat

from banger.errors import Conflict
from banger.tar.parts import lock_part

_PREFIX = b".banger-cp."
_NAME = re.compile(re.escape(_PREFIX) + rb"[0-9a-f]{12}")
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def new_temporary_name() -> bytes:
    """Return a name that no other extraction has or had."""
    return _PREFIX + secrets.token_hex(6).encode()


def open_temporary(directory: int) -> tuple[bytes, int]:
    """Create a locked file under a new temporary name; return the name and a descriptor."""
    while True:
        name = new_temporary_name()
        fd = os.open(name, _MAKE, 0o600, dir_fd=directory)
        try:
            lock_part(fd, name, top=directory)
        except Conflict:  # another extraction took it for a leftover, before it was locked
            os.close(fd)
        else:
            return name, fd


def remove_left(directory: int) -> None:
    """Remove the leftover files in an open directory; where files cannot be locked, none."""
    with contextlib.suppress(OSError):  # a directory that may be written to, but not read
        for name in map(os.fsencode, os.listdir(directory)):
            if _NAME.fullmatch(name):
                _remove_if_left(directory, name)


def _remove_if_left(directory: int, name: bytes) -> None:
    with contextlib.suppress(OSError), contextlib.ExitStack() as undo:
        fd = os.open(name, _LOOK, dir_fd=directory)
        undo.callback(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        is_private = status.st_mode == stat.S_IFREG | 0o600 and status.st_uid == os.geteuid()
        if is_private and status.st_nlink == 1:
            os.unlink(name, dir_fd=directory)
