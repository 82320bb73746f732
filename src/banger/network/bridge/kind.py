"""What the engine is given of the `bridge` network."""

from __future__ import annotations

from pathlib import Path

from banger.errors import HostNotReady
from banger.host.attachments import AttachmentKind
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.network.bridge import tap
from banger.network.bridge.addresses import ADDRESSES, vm_address
from banger.network.bridge.nameservers import find_nameservers
from banger.network.bridge.tap import BridgeHandle, make_interface, start
from banger.network.port import Interface, StartedNetwork


class BridgeNetwork:
    """One network for all VMs and their host."""

    handle_type = BridgeHandle
    process_names = ("banger-egress-filter$",)
    addresses = ADDRESSES
    programs: tuple[str, ...] = ()
    """The helper's own are its own to find."""

    def require_host(self) -> None:
        """Check that a helper was set up; a start asks it."""
        if not Path(tap.HELPER).exists():
            raise HostNotReady("This host has no bridge for VMs.", hint="banger setup --bridge")

    def plan_interface(self, vm_id: VmId, number: int = 0) -> Interface:
        """Return the interface of a VM, whose nameservers are the host's of this moment."""
        return make_interface(vm_id, str(vm_address(number)), find_nameservers())

    async def start(
        self,
        interface: Interface,
        *,
        attachment: AttachmentKind,
        egress: Egress,
        log_file: Path,
        control: Path,
    ) -> StartedNetwork:
        """Join the VM to the bridge; see `network.port.Network`."""
        return await start(
            interface, attachment=attachment, egress=egress, log_file=log_file, control=control
        )


NETWORK = BridgeNetwork()
