"""Where a front listens: a loopback address or a Unix socket; anything else when asked for.

Owns the socket's file, which goes with the block; that of a front that was killed is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from banger.errors import HostFailed, InvalidRequest, PortNotPermitted, PortTaken
from banger.host.refusals import require_socket_path
from banger.host.socketfiles import remove_stale_socket

HTTP_PORT = 80
LOCAL = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Place:
    """An address and a port, or the path of a Unix socket."""

    address: str
    port: int
    path: str = ""

    @property
    def is_local(self) -> bool:
        """Tell whether only this host can connect."""
        return bool(self.path) or ipaddress.ip_address(self.address).is_loopback

    @property
    def host(self) -> str:
        """Return the address as a URL has it."""
        return f"[{self.address}]" if ":" in self.address else self.address

    def __str__(self) -> str:
        return self.path or f"http://{self.host}:{self.port}/"


def parse_place(text: str) -> Place:
    """Parse `ADDRESS:PORT`, `[ADDRESS]:PORT` or an absolute path.

    Raises:
        InvalidRequest: the text is none of these.
    """
    if text.startswith("/"):
        return Place("", 0, text)
    address, _, port = text.rpartition(":")
    try:
        found = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        found = None
    if found is None or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise InvalidRequest(
            f"{text!r} is not a place to listen: an address and a port, or an absolute path.",
            hint="banger web --listen 127.0.0.1:7782",
        )
    return Place(str(found), int(port))


def name_hosts(place: Place, allowed: str) -> list[str]:
    """Return the values of `Host` that mean a front at this place. Pure."""
    others = [name.strip().lower() for name in allowed.split(",") if name.strip()]
    if place.path:
        return ["localhost", *others]
    is_named = place.host not in LOCAL and not ipaddress.ip_address(place.address).is_unspecified
    named = [*LOCAL, *([place.host] if is_named else [])]
    names = [f"{name}:{place.port}" for name in named]
    return [*names, *(named if place.port == HTTP_PORT else []), *others]


@contextlib.contextmanager
def listening(place: Place) -> Iterator[tuple[socket.socket, Place]]:
    """Listen for a block; yield also the place with the port that was free, if asked for 0.

    Raises:
        PortTaken, PortNotPermitted, HostFailed: the host does not let us.
        Conflict: another program listens at the path, or it is no socket's.
        HostNotReady: the path is too long for a socket.
    """
    if place.path:
        with _listening_at_path(place.path) as listener:
            yield listener, place
        return
    family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
    try:
        listener = socket.create_server((place.address, place.port), family=family)
    except OSError as error:
        raise _explain(error, place) from error
    with listener:
        # Inherited by each connection. asyncio sets it only if the protocol was named, which
        # `create_server` does not; without it an answer of two writes waits for the client's ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener, Place(place.address, listener.getsockname()[1])


@contextlib.contextmanager
def _listening_at_path(path: str) -> Iterator[socket.socket]:
    require_socket_path(path)
    remove_stale_socket(Path(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        old_mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(old_mask)
        try:
            listener.listen()
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _explain(error: OSError, place: Place) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"Another program listens on {place.host}:{place.port}.",
            hint="banger web --listen 127.0.0.1:0",
        )
    if error.errno == errno.EACCES:
        return PortNotPermitted(f"The host does not permit listening on port {place.port}.")
    return HostFailed(f"{place.host}:{place.port} cannot be listened on: {error.strerror}.")
