"""What an extraction that was killed has left: files under its temporary names.

An extraction has its temporary file locked while there is one, so one that nobody has locked is
left over. The next extraction into the directory removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat

_PREFIX = b".banger-cp."
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def new_temporary_name() -> bytes:
    """Return a name that no other extraction has or had."""
    return _PREFIX + secrets.token_hex(6).encode()


def remove_left(directory: int) -> None:
    """Remove the leftover files in an open directory; where files cannot be locked, none."""
    with contextlib.suppress(OSError):  # a directory that may be written to, but not read
        for name in map(os.fsencode, os.listdir(directory)):
            if name.startswith(_PREFIX):
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
