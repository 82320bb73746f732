"""Listening sockets of the host: open them, and say why one cannot be opened.

Reads one setting of the kernel. A socket is closed by its owner, or by the kernel if the process
dies.
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from banger.errors import BangerError, HostFailed, PortNotPermitted, PortTaken
from banger.forwards.plan import Endpoint

BACKLOG = 1024
"""Connections that may wait to be accepted."""
FIRST_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def read_first_port() -> int:
    """Return the lowest port that an ordinary user may listen on: 1024 unless changed."""
    try:
        return int(FIRST_PORT.read_text("ascii"))
    except (OSError, ValueError):
        return 1024


def open_listener(endpoint: Endpoint) -> socket.socket:
    """Listen at an endpoint of the host; the caller closes the socket.

    Raises:
        PortTaken: something else listens there.
        PortNotPermitted: the port is kept for root.
        HostFailed: the host has no such address, or no descriptor is left.
    """
    family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _explain(endpoint, error) from error
    try:
        sock.setblocking(False)
        # Else connections of a daemon that has died keep the port for a minute.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(endpoint)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _explain(endpoint, error) from error
    return sock


def _explain(endpoint: Endpoint, error: OSError) -> BangerError:
    match error.errno:
        case errno.EADDRINUSE:
            return PortTaken(f"Something else on this host listens at {endpoint}.", retryable=True)
        case errno.EACCES | errno.EPERM:
            return PortNotPermitted(
                f"This host keeps port {endpoint.port} for root.",
                hint="sysctl net.ipv4.ip_unprivileged_port_start",
            )
        case errno.EADDRNOTAVAIL:
            return HostFailed(f"This host has no address {endpoint.address}.")
        case _:
            return HostFailed(f"The host cannot listen at {endpoint}: {error.strerror}.")
