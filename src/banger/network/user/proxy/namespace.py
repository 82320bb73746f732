"""Sockets in the network namespace of a VM's back end, for a process that stays outside of it.

The namespace is that of the back end's jail and has a loopback only. There every address
is made a local one, so that whatever listens answers for all of them, and is told by
`getsockname` which was meant.

Run as `python namespace.py PIDFD SOCKET`: enters the namespace of PIDFD, from which a process
cannot come back, leaves its sockets in SOCKET, whose other end is the proxy's, and ends. A VM's
start waits for it, so it imports little, and of the standard library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

FIRST_PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
STREAMS = 200
"""TCP sockets inside, of which each port of a policy takes one for good."""
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_NEW_ROUTE, _FLAGS = 24, 1 | 4 | 0x400  # request, acknowledge, create
_LOCAL_TABLE, _BY_ADMIN, _HOST_SCOPE, _LOCAL = 255, 4, 254, 2
_DEVICE, _LOOPBACK = 4, 1


def main() -> None:
    """Hand out a UDP socket and TCP sockets."""
    inside, to = map(int, sys.argv[1:])
    _enter(inside)
    _add_local_route()
    _open_low_ports()
    sockets = [socket.socket(type=socket.SOCK_DGRAM)]
    sockets += [socket.socket() for _ in range(STREAMS)]
    with socket.socket(fileno=to) as side:
        socket.send_fds(side, [b"s"], [each.fileno() for each in sockets])


def _enter(inside: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(inside, _NEW_USER | _NEW_NET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _open_low_ports() -> None:
    """Let everybody inside listen at any port (ip(7)), as far as this host lets us."""
    with contextlib.suppress(OSError), open(FIRST_PORT, "w") as file:
        file.write("0")


def _add_local_route() -> None:
    route = struct.pack(
        "=8BI",
        *(socket.AF_INET, 0, 0, 0),
        *(_LOCAL_TABLE, _BY_ADMIN, _HOST_SCOPE, _LOCAL, 0),
    )
    route += struct.pack("=HHI", 8, _DEVICE, _LOOPBACK)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(route), _NEW_ROUTE, _FLAGS, 1, 0) + route)
        failure = -struct.unpack_from("=i", kernel.recv(4096), 16)[0]
    if failure:
        raise OSError(failure, "route")


if __name__ == "__main__":
    main()
