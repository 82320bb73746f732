"""Connect to this user's daemon; start a daemon if none runs.

To start, run `python -m banger.daemon` in its own session (hazard B1); the process reports success
or failure on a pipe. If two clients start a daemon at once, one daemon remains (B7): the losing
process sees that the winner answers, reports success, and exits.

Writes the directory of the daemon's log, and `layout.daemon_output`.
"""

from __future__ import annotations

import os
import socket
import sys

from banger.errors import BangerError, DaemonUnreachable, Denied, HostNotReady
from banger.layout import STATE_LINK, Layout


def connect(layout: Layout, *, autostart: bool) -> socket.socket:
    """Return a connection to the daemon.

    Raises:
        DaemonUnreachable: no daemon runs, or none could be started.
        DaemonSilent: a daemon lives, but does not listen.
        HostNotReady: the path of the socket cannot be used.
        RuntimeDirectoryTaken: the daemon there serves another state directory.
        Denied: another user's process listens on the socket.
        BangerError: the daemon's own error at its start, such as ConfigInvalid.
    """
    sock = fault = None
    try:
        sock = _try_connect(layout, layout.daemon_socket_name)
    except HostNotReady as error:
        fault = error
    if sock is None:
        from banger.client.holder import find_elsewhere

        sock = find_elsewhere(layout, lambda path: _try_existing(layout, path), autostart=autostart)
    if sock is None and fault is not None:
        raise fault
    if sock is None and autostart:
        from banger.client.start import start_daemon

        start_daemon(layout)
        sock = _try_connect(layout, layout.daemon_socket_name)
    if sock is None:
        raise DaemonUnreachable("The daemon is not running.", hint="banger daemon restart")
    return sock


def _try_existing(layout: Layout, path: str) -> socket.socket | None:
    """Call `_try_connect`; return None also if the path cannot be used."""
    try:
        return _try_connect(layout, path)
    except HostNotReady:
        return None


def _try_connect(layout: Layout, path: str) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.connect(path)
        require_own_peer(sock, path)
        require_own_state(layout, path)
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except OSError as error:
        sock.close()
        raise _name_fault(error, path) from error
    except (Denied, HostNotReady):
        sock.close()
        raise
    return sock


def require_own_state(layout: Layout, path: str) -> None:
    """Check that the daemon on `path` serves our state directory.

    Raises:
        RuntimeDirectoryTaken: it serves another one, of which requests would change the VMs.
    """
    try:
        if os.readlink(f"{os.path.dirname(path)}/{STATE_LINK}") == layout.state_name:
            return
    except OSError:
        pass  # A daemon of an older version makes no link.
    from banger.host.runtimedir import require_own_daemon

    require_own_daemon(layout, path)


def _name_fault(error: OSError, path: str) -> BangerError:
    from banger.host.refusals import explain_refusal, require_socket_path

    require_socket_path(path)
    named = OSError(error.errno, error.strerror, path)
    return explain_refusal(named) or DaemonUnreachable(
        f"The socket {path} cannot be used: {error.strerror}."
    )


def require_own_peer(sock: socket.socket, path: str) -> None:
    """Check that the daemon runs as our user, since requests contain the user's paths."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    uid = int.from_bytes(credentials[4:8], sys.byteorder)
    if uid != os.getuid():
        raise Denied(f"The daemon on {path} is run by uid {uid}, not by you.", hint=f"ls -l {path}")
