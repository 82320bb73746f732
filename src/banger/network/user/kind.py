"""What the engine knows of the `user` network."""

from __future__ import annotations

from banger.host.programs import find_tool
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.network.port import Interface
from banger.network.user.addresses import plan_interface
from banger.network.user.process import UserNetworkHandle, start
from banger.network.user.routes import require_route
from banger.network.user.tools import PASST, SLIRP


class UserNetwork:
    """A network of its own for each VM, made by slirp4netns, else by passt."""

    handle_type = UserNetworkHandle
    process_names = (
        "slirp4netns$",
        r"passt(\.avx2)?$",
        "bwrap$",
        "banger-egress-filter$",
        "banger-guard$",  # the filter of VMs that an older banger started
    )

    service = None
    addresses = 0
    nameserver = None
    """The back end passes queries on to the host's resolver."""

    @property
    def programs(self) -> tuple[str, ...]:
        """The preferred back end, unless the other one is there to stand in."""
        return () if find_tool(PASST) else (SLIRP,)

    def require_host(self) -> None:
        """Check that this host has a network itself."""
        require_route()

    def require_policy(self, egress: Egress) -> None:
        """Nothing to check: it knows each."""

    def plan_interface(self, vm_id: VmId, number: int = 0) -> Interface:  # noqa: ARG002 - see `addresses`
        """Return the same addresses for every VM."""
        return plan_interface(vm_id)

    start = staticmethod(start)


NETWORK = UserNetwork()
