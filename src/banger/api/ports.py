"""Parameters and results of `port.*`: ports of guests that users publish on the host."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from banger.api.requests import Params, PortSpec


class PortAdd(Params, frozen=True):
    ref: str
    port: PortSpec


class PortRemove(Params, frozen=True):
    ref: str
    port: str
    """`[ADDRESS:]HOST[:GUEST]`, or the guest's port alone if it is published once."""


class PublishedPort(Struct, frozen=True, kw_only=True):
    """A port of a guest that a user published on the host."""

    vm: str
    """The VM's name."""
    protocol: Literal["tcp"]
    host_address: str
    host_port: int
    guest_port: int
    state: Literal["open", "blocked", "closed"]
    """`closed`: the VM does not run; `blocked`: `notice` says why."""
    notice: str | None = None
    """One sentence."""
