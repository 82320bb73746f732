"""Tell whether a silent daemon is alive or hangs; imported only when a daemon is silent.

A request may take long without progress, so a second connection asks `daemon.status`, which takes
milliseconds. A stopped process (SIGSTOP, ctrl-Z) is reported at once.
"""

from __future__ import annotations

import select
import socket

from banger.api import wire
from banger.client.holder import silent
from banger.host.lockholder import is_stopped, peer_pid
from banger.version import VERSION

ANSWER_S = 20.0


def require_alive(sock: socket.socket) -> None:
    """Check that the daemon at the other end answers.

    Raises:
        DaemonSilent: the daemon is stopped, or has not answered within `ANSWER_S`.
    """
    pid = peer_pid(sock)
    if is_stopped(pid):
        raise silent(pid, f"The daemon (pid {pid}) is stopped (SIGSTOP) and does not answer.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(ANSWER_S)
        try:
            probe.connect(sock.getpeername())
            probe.sendall(wire.format_request(1, "daemon.status", params={}, version=VERSION))
        except OSError:
            # The daemon is stopping or has moved its socket: the first connection will tell.
            return
        if not select.select([probe], [], [], ANSWER_S)[0]:
            raise silent(pid, f"The daemon (pid {pid}) has not answered for {ANSWER_S:g} s.")
