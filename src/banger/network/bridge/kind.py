"""What the engine is given of the `bridge` network."""

from __future__ import annotations

from pathlib import Path

from banger.errors import HostNotReady, NotSupported
from banger.model.egress import Egress, parse_rule
from banger.model.names import VmId
from banger.network.bridge import service, tap
from banger.network.bridge.addresses import ADDRESSES, vm_address
from banger.network.bridge.nameserver import BridgeNameserver
from banger.network.bridge.tap import BridgeHandle, make_interface, start
from banger.network.port import Interface

OTHER = "--network user"


class BridgeNetwork:
    """One network for all VMs and their host."""

    handle_type = BridgeHandle
    process_names = ("banger-egress-filter$",)
    service = service
    addresses = ADDRESSES
    nameserver = BridgeNameserver()
    programs: tuple[str, ...] = ()
    """The helper's own are its own to find."""

    def require_host(self) -> None:
        """Check that a helper was set up; a start asks it."""
        if not Path(tap.HELPER).exists():
            raise HostNotReady("This host has no bridge for VMs.", hint="banger setup --bridge")

    def require_policy(self, egress: Egress) -> None:
        """Check that it is by address, and opens nothing of the host, to which no bridge leads."""
        if egress.is_by_name:
            raise NotSupported(
                "The network bridge does not support egress profiles by name.", hint=OTHER
            )
        if any(parse_rule(rule).network is None for rule in egress.rules):
            raise NotSupported(
                "The network bridge does not reach ports of the host's loopback.", hint=OTHER
            )

    def plan_interface(self, vm_id: VmId, number: int = 0) -> Interface:
        """Return the interface of a VM, which asks the host for names."""
        return make_interface(vm_id, str(vm_address(number)), (self.nameserver.address,))

    start = staticmethod(start)


NETWORK = BridgeNetwork()
