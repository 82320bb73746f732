"""Whether this host has a way to any network, which its VMs' networks then use.

passt does not always tell: older releases end where there is no default route, later ones
go on without any, in a "local mode" in which a guest reaches nothing. Reads /proc/net/route;
changes nothing.
"""

from __future__ import annotations

from pathlib import Path

from banger.errors import HostNotReady

ROUTES = Path("/proc/net/route")
NO_DEFAULT_ROUTE = "No external routable interface"
"""What an older passt says when it ends."""
_UP = 0x1
_REJECT = 0x200


def require_route(*, table: Path = ROUTES) -> None:
    """Check that this host has an IPv4 route to something other than itself.

    Raises:
        HostNotReady: it has none.
    """
    if not has_route(table.read_text("ascii", "replace")):
        raise refuse_without_route()


def refuse_without_route(details: str = "") -> HostNotReady:
    """Return the error that says what a host without a network can do."""
    return HostNotReady(
        "This host has no route to any network, so its VMs cannot have one.",
        hint="banger vm run --network none",
        details=details,
    )


def has_route(table: str) -> bool:
    """Tell whether a kernel's table of routes (proc_net(5), `route`) has one in use."""
    return any(_leads_out(line.split()) for line in table.splitlines()[1:])


def _leads_out(fields: list[str]) -> bool:
    interface, _, _, flags, *_ = fields
    return interface != "lo" and int(flags, 16) & (_UP | _REJECT) == _UP
