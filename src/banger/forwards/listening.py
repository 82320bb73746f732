"""Sockets of the host at which forwards begin: open them, or say why that is impossible.

Reads one setting of the kernel; makes and removes the files of Unix sockets, which are the user's
alone from the start (G1). A socket is closed by its owner, or by the kernel if the process dies:
then the file of a Unix socket stays, and is replaced when its path is listened at again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shlex
import socket
from pathlib import Path

from banger.errors import BangerError, Conflict, HostFailed, PortNotPermitted, PortTaken
from banger.forwards.ends import Endpoint, HostEnd, SocketPath
from banger.host.socketfiles import remove_stale_socket

BACKLOG = 1024
"""Connections that may wait to be accepted."""
IP_PKTINFO = 8
"""Of linux/in.h; Python has no name for it before 3.14."""
FIRST_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
PAUSE_S = 1.0
"""Before a connection is accepted again where no descriptor was left for it."""

log = logging.getLogger(__name__)


def read_first_port() -> int:
    """Return the lowest port that an ordinary user may listen on: 1024 unless changed."""
    try:
        return int(FIRST_PORT.read_text("ascii"))
    except (OSError, ValueError):
        return 1024


def open_listener(end: HostEnd) -> socket.socket:
    """Listen at a place of the host, or receive its datagrams; end it with `close_listener`.

    A stale socket file is replaced.

    Raises:
        PortTaken: something else listens there, or a file has the name.
        PortNotPermitted: the port is kept for root, or the directory cannot be written.
        HostFailed: the host has no such address or directory, or no descriptor is left.
    """
    try:
        return _listen_at_path(end.path) if isinstance(end, SocketPath) else _listen_at_port(end)
    except OSError as error:
        raise _explain(end, error) from error


def close_listener(sock: socket.socket, end: HostEnd) -> None:
    """Close the socket, and remove its file if it has one."""
    sock.close()
    if isinstance(end, SocketPath):
        remove_socket_file(end)


def remove_socket_file(end: SocketPath) -> None:
    """Remove the file of a Unix socket unless it is another program's, or is no socket."""
    # Whoever has made something else of the name since then keeps it.
    with contextlib.suppress(Conflict, OSError):
        remove_stale_socket(Path(end.path))


def _listen_at_port(end: Endpoint) -> socket.socket:
    is_v6 = ":" in end.address
    family = socket.AF_INET6 if is_v6 else socket.AF_INET
    kind = socket.SOCK_STREAM if end.protocol == "tcp" else socket.SOCK_DGRAM
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, kind))
        sock.setblocking(False)
        if is_v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if end.protocol == "tcp":
            # Else connections of a daemon that has died keep the port for a minute.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Each datagram shall tell to which address of the host it was sent.
        elif is_v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.bind((end.address, end.port))
        if end.protocol == "tcp":
            sock.listen(BACKLOG)
        undo.pop_all()
    return sock


async def accept(listener: socket.socket) -> socket.socket:
    """Return the next connection, which does not block; the caller closes it."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            sock, _ = await loop.sock_accept(listener)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            if error.errno != errno.ECONNABORTED:
                log.warning("a connection cannot be accepted: %s", error)
                await asyncio.sleep(PAUSE_S)
        else:
            return sock


def _listen_at_path(path: str) -> socket.socket:
    try:
        remove_stale_socket(Path(path))
    except Conflict as error:
        raise PortTaken(error.message, hint=error.hint, retryable=True) from error
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sock.setblocking(False)
        # The kernel makes the file with the mode that the socket has when it is bound.
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(path)
        sock.listen(BACKLOG)
        undo.pop_all()
    return sock


def _explain(end: HostEnd, error: OSError) -> BangerError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"Another program on this host listens at {end}.", retryable=True)
    if isinstance(end, SocketPath):
        return _explain_path(end.path, error)
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return PortNotPermitted(
                f"This host reserves port {end.port} for root.",
                hint="sysctl net.ipv4.ip_unprivileged_port_start",
            )
        case errno.EADDRNOTAVAIL:
            return HostFailed(f"This host has no address {end.address}.", hint="ip -brief address")
        case _:
            return HostFailed(f"The host cannot listen at {end}: {error.strerror}.")


def _explain_path(path: str, error: OSError) -> BangerError:
    fact, hint = (
        f"No Unix socket can be created at {path}",
        f"ls -ld {shlex.quote(os.path.dirname(path))}",
    )
    match error.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return PortNotPermitted(f"{fact}: {error.strerror}.", hint=hint)
        case _:  # a path that is too long is an error of Python's own, without a number
            return HostFailed(f"{fact}: {error.strerror or error}.", hint=hint)
