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
    """`[ADDRESS:]HOST[:GUEST][/PROTOCOL]` or the host path; or a guest port that is unambiguous."""


class PublishedPort(Struct, frozen=True, kw_only=True):
    """A port or Unix socket of a guest that the user published on the host."""

    vm: str
    """The VM's name."""
    protocol: Literal["tcp", "udp", "unix"]
    """Protocol on the host; the guest's end is a Unix socket if `guest_path` is set."""
    host_address: str | None = None
    host_port: int | None = None
    host_path: str | None = None
    """Path of a Unix socket, instead of a port."""
    guest_port: int | None = None
    guest_path: str | None = None
    state: Literal["open", "blocked", "closed"]
    """`closed`: the VM does not run; `blocked`: `notice` says why."""
    notice: str | None = None
    """One sentence."""


class NamesView(Struct, frozen=True, kw_only=True):
    """Ports of this host's loopback that lead to VMs by name."""

    http_port: int | None = None
    """Port for links; null: not open."""
    socks_port: int | None = None
    """Port of the SOCKS proxy; null: not open."""
    dns_port: int | None = None
    """Port of the DNS server for `NAME.vm`; null: not open."""
    notices: list[str] = field(default_factory=list)
    """One sentence for each configured port that could not be opened."""
