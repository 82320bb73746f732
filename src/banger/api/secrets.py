"""Parameters and results of `secret.*`: values that requests of VMs carry, and that no VM has."""

from __future__ import annotations

from msgspec import Struct, field

from banger.api.requests import Params


class SecretSet(Params, frozen=True):
    name: str
    """Also the name of the variable that has the placeholder in VMs."""
    value: str
    """One line of readable ASCII characters."""
    hosts: list[str] = field(default_factory=list)
    """Hosts that may get the secret, as `NAME[:PORT]` or `*.NAME[:PORT]`, at port 443 unless they
    name another; default: unchanged."""
    headers: list[str] = field(default_factory=list)
    """Names of the headers that may have the secret; default: unchanged, at first `authorization`
    and `x-api-key`."""

    def __repr__(self) -> str:
        return f"SecretSet({self.name})"


class SecretRef(Params, frozen=True):
    name: str


class SecretView(Struct, frozen=True, kw_only=True):
    """A secret, without its value."""

    name: str
    hosts: list[str]
    headers: list[str]
    vms: list[str]
    """Names of the VMs that have a placeholder for it."""
