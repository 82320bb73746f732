"""Find a daemon on another socket path; imported only when none answers on the usual path.

The daemon's lock file names its pid and socket. While the lock is held, a daemon lives. A daemon
that was started with another runtime directory (before `su`, outside of cron) is reached on its own
socket; a daemon whose directory was removed recreates its socket; otherwise the error names the
daemon's pid.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from banger.errors import DaemonSilent
from banger.host.lockholder import is_held, read_holder
from banger.layout import Layout

DEADLINE_S = 5.0
"""The daemon checks for its socket every second; starting and stopping take less."""
POLL_S = 0.05


def find_elsewhere(
    layout: Layout, try_connect: Callable[[str], socket.socket | None], *, autostart: bool
) -> socket.socket | None:
    """Return a connection to the daemon that holds the lock; None if a daemon may be started.

    Raises:
        DaemonSilent: the holder does not listen. Not raised with `autostart`: the holder may be
            starting or stopping, and the new daemon waits for the lock.
    """
    end = time.monotonic() + DEADLINE_S
    while is_held(layout):
        pid, path = read_holder(layout)
        for candidate in (path, layout.daemon_socket_name):
            sock = try_connect(candidate) if candidate else None
            if sock is not None:
                return sock
        if time.monotonic() > end:
            if autostart or not pid:
                return None
            raise silent(pid, f"The daemon (pid {pid}) does not listen on {path}.")
        time.sleep(POLL_S)
    return None


def silent(pid: int, message: str) -> DaemonSilent:
    """Return the error for a daemon that lives but does not answer."""
    error = DaemonSilent(message, hint="banger daemon restart")
    error.pid = pid
    return error
