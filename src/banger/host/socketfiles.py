"""The files of Unix sockets that programs of this host listen at.

A listener's file stays when its process dies. Such a stale one is told from a live one by
connecting, which the kernel refuses at once.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import stat
from pathlib import Path

from banger.errors import Conflict


def remove_stale_socket(path: Path) -> None:
    """Remove the socket file of a process that is dead; never remove anything else.

    Raises:
        Conflict: the file is not a socket, or a process listens on it.
    """
    with contextlib.suppress(FileNotFoundError):
        quoted = shlex.quote(os.fspath(path))
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Conflict(f"{path} exists and is not a socket.", hint=f"ls -l {quoted}")
        if can_connect(path):
            raise Conflict(f"Another program listens on {path}.", hint=f"ss -xlp src {quoted}")
        path.unlink()


def can_connect(path: Path) -> bool:
    """Tell whether a process listens on the socket. Does not wait for it to accept."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:  # so many wait to be accepted that no more can
            return True
        return True
