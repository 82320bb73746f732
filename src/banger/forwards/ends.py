"""The two ends of a forward: its place on the host and its target in the guest. Pure.

Each end has a text that rows of the database hold, such as `tcp:127.0.0.1:8080`, `udp:[::1]:53`
and `unix:/home/user/app.sock`; of a guest's end `tcp:80`, `udp:53` and `unix:/run/app.sock`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Protocol = Literal["tcp", "udp"]

LOOPBACKS = ("127.0.0.1", "::1")
"""Where a port of the guest is looked for: servers often listen on one of these only (I1, I2)."""


class Endpoint(NamedTuple):
    """An IP address and a port of the host."""

    address: str
    port: int
    protocol: Protocol = "tcp"

    def __str__(self) -> str:
        suffix = "" if self.protocol == "tcp" else f"/{self.protocol}"
        return f"{self.socket_name}{suffix}"

    @property
    def socket_name(self) -> str:
        """Address and port as one word."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


class SocketPath(NamedTuple):
    """The path of a Unix socket of the host."""

    path: str

    def __str__(self) -> str:
        return self.path


HostEnd = Endpoint | SocketPath


@dataclass(frozen=True)
class GuestPort:
    """A port inside the guest."""

    port: int
    protocol: Protocol = "tcp"
    hosts: tuple[str, ...] = LOOPBACKS
    """Of TCP: addresses inside the guest, in the order in which they are tried."""

    def __str__(self) -> str:
        return str(self.port)


@dataclass(frozen=True)
class GuestSocket:
    """A Unix socket inside the guest."""

    path: str

    def __str__(self) -> str:
        return self.path


GuestEnd = GuestPort | GuestSocket


@dataclass(frozen=True)
class Forward:
    """Where something of the guest appears on the host."""

    host: HostEnd
    guest: GuestEnd


def format_host_end(end: HostEnd) -> str:
    """Return the text of a host's end."""
    if isinstance(end, SocketPath):
        return f"unix:{end.path}"
    return f"{end.protocol}:{end.socket_name}"


def parse_host_end(text: str) -> HostEnd:
    """Return the end for a text that `format_host_end` made."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return SocketPath(rest)
    address, _, port = rest.rpartition(":")
    return Endpoint(address.strip("[]"), int(port), _parse_protocol(kind))


def format_guest_end(end: GuestEnd) -> str:
    """Return the text of a guest's end, without the addresses that are tried."""
    return f"unix:{end.path}" if isinstance(end, GuestSocket) else f"{end.protocol}:{end.port}"


def parse_guest_end(text: str) -> GuestEnd:
    """Return the end for a text that `format_guest_end` made."""
    kind, _, rest = text.partition(":")
    return GuestSocket(rest) if kind == "unix" else GuestPort(int(rest), _parse_protocol(kind))


def _parse_protocol(text: str) -> Protocol:
    if text == "tcp":
        return "tcp"
    if text == "udp":
        return "udp"
    raise ValueError(f"{text!r} is no protocol of a forward")
