"""Parameters and results of `egress.*`: what may leave a VM."""

from __future__ import annotations

from msgspec import Struct, field

from banger.api.requests import Params


class EgressChange(Params, frozen=True):
    ref: str
    profile: str | None = None
    """`public`, `none`, `allowlist` or `registries`; default: as it is."""
    rules: list[str] = field(default_factory=list)
    """Rules as of `vm.create`, which come before the VM's present ones."""
    bandwidth_mib: int | None = None
    """Most MiB that the network carries each way in a second; 0: no limit; default: as it is."""


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
    """What was wrong with a connection, where that is not its target."""
