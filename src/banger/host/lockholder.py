"""The process that holds the daemon's lock, and whether it is stopped. Reads only."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from pathlib import Path

from banger.layout import Layout


def is_held(layout: Layout) -> bool:
    """Tell whether a process holds the daemon's lock."""
    try:
        fd = os.open(layout.daemon_lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def read_holder(layout: Layout) -> tuple[int, str]:
    """Return the pid and socket that the holder wrote; 0 and "" if they are not yet written."""
    try:
        content = json.loads(layout.daemon_lock.read_bytes())
        return int(content["pid"]), str(content["socket"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""


def peer_pid(sock: socket.socket) -> int:
    """Return the pid of the process that listens at the other end."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder)


def is_stopped(pid: int) -> bool:
    """Tell whether a process was stopped by a signal, and so does nothing until continued."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] in (b"T", b"t")
