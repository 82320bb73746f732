"""Find a daemon that does not listen where we look; imported only when none answers there.

The daemon's lock names its pid and its socket. While somebody holds the lock, a daemon lives: one
that was started with another runtime directory (before `su`, outside of cron) is used where it
listens, one whose directory was removed makes its socket anew, and one that does neither is named.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from banger.errors import DaemonSilent
from banger.host.lockholder import is_held, read_holder
from banger.layout import Layout

DEADLINE_S = 5.0
"""The daemon looks for its socket every second; one that is starting or ending is quicker."""
POLL_S = 0.05


def find_elsewhere(
    layout: Layout, try_connect: Callable[[str], socket.socket | None], *, autostart: bool
) -> socket.socket | None:
    """Return a connection to the daemon that holds the lock; None: one may be started.

    Raises:
        DaemonSilent: the holder listens nowhere. With `autostart` it may be starting or ending, and
            the daemon that is started waits for it.
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
    """Return the error for a daemon that lives and does nothing."""
    error = DaemonSilent(message, hint="banger daemon restart")
    error.pid = pid
    return error
