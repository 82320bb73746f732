"""Parameters and results of `port.*` and `names.*`: ways to guests from the host."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from banger.api.requests import Params, PortSpec


class PortAdd(Params, frozen=True):
    ref: str
    port: PortSpec


class PortRemove(Params, frozen=True):
    ref: str
    port: str
    """`[ADDRESS:]HOST[:GUEST][/PROTOCOL]` or a path, else the guest's if it is published once."""


class PublishedPort(Struct, frozen=True, kw_only=True):
    """A port or a socket of a guest that a user published on the host."""

    vm: str
    """The VM's name."""
    protocol: Literal["tcp", "udp", "unix"]
    """Of the host's end; the guest's is a Unix socket if `guest_path` is there."""
    host_address: str | None = None
    host_port: int | None = None
    host_path: str | None = None
    """Instead of address and port: a Unix socket."""
    guest_port: int | None = None
    guest_path: str | None = None
    state: Literal["open", "blocked", "closed"]
    """`closed`: the VM does not run; `blocked`: `notice` says why."""
    notice: str | None = None
    """One sentence."""


class NamesView(Struct, frozen=True, kw_only=True):
    """The ports of this host's loopback that lead to VMs by their names."""

    http_port: int | None = None
    """Of the front for links; null: nothing listens."""
    socks_port: int | None = None
    """Of the SOCKS proxy for `NAME.vm`; null: nothing listens."""
    dns_port: int | None = None
    """Of the DNS server for the domain `vm`; null: nothing listens."""
    notices: list[str] = field(default_factory=list)
    """Why what is wanted is not there, a sentence each."""
