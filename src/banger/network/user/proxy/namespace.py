"""Sockets in the network namespace of a VM's back end, for a process that stays outside of it.

The namespace is that of the back end's jail and has a loopback only. There every address
is made a local one, so that whatever listens answers for all of them, and is told by
`getsockname` which was meant. A child enters, since a process cannot come back; it hands sockets
out and ends. The user to whom the namespace belongs may bind low ports in it from outside.
"""

from __future__ import annotations

import ctypes
import socket
import struct

from banger.host.programs import run_forked

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_NEW_ROUTE, _FLAGS = 24, 1 | 4 | 0x400  # request, acknowledge, create
_LOCAL_TABLE, _BY_ADMIN, _HOST_SCOPE, _LOCAL = 255, 4, 254, 2
_DEVICE, _LOOPBACK = 4, 1


def open_sockets(inside: int, *, streams: int) -> tuple[socket.socket, list[socket.socket]]:
    """Return a UDP socket and TCP sockets of the namespace of a process, given by its pidfd.

    Raises:
        HostFailed: it cannot be entered.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        run_forked(lambda: _hand_out(inside, streams, theirs))
        _, numbers, _, _ = socket.recv_fds(ours, 1, streams + 1)
    datagrams, *others = (socket.socket(fileno=number) for number in numbers)
    return datagrams, others


def _hand_out(inside: int, streams: int, to: socket.socket) -> None:
    _enter(inside)
    _add_local_route()
    sockets = [socket.socket(type=socket.SOCK_DGRAM)]
    sockets += [socket.socket() for _ in range(streams)]
    socket.send_fds(to, [b"s"], [each.fileno() for each in sockets])


def _enter(inside: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(inside, _NEW_USER | _NEW_NET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


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
