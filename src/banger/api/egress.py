"""Parameters and results of `egress.*`: what may leave a VM."""

from __future__ import annotations

from msgspec import Struct, field

from banger.api.requests import Params


class EgressChange(Params, frozen=True):
    ref: str
    profile: str | None = None
    """`public`, `none`, `allowlist` or `registries`; default: unchanged."""
    rules: list[str] = field(default_factory=list)
    """Rules as in `vm.create`, inserted before those that the VM has."""
    bandwidth_mib: int | None = None
    """Most MiB per second in each direction; 0: no limit; default: unchanged."""


class DeniedTarget(Struct, frozen=True, kw_only=True):
    """A target that a VM was denied since its start."""

    target: str
    """ADDRESS[:PORT/PROTOCOL], NAME[:PORT/tcp] or `host:PORT/PROTOCOL`."""
    times: int
    """Number of packets, queries or connections."""
    last_at: float
    """Time of the last one, in seconds of the Unix epoch."""
    rule: str | None
    """The rule that would allow it; null: no rule can."""
    why: str = ""
    """Why a connection was denied, if its target is not the reason."""
