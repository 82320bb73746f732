"""The addresses of a user network. Pure."""

from __future__ import annotations

from banger.model.names import VmId
from banger.network.port import Interface, format_mac


def plan_interface(vm_id: VmId) -> Interface:
    """Return the same addresses for every VM, since each has a network of its own.

    The nameserver is the network's: it passes queries on to the host's resolver, also where that
    listens on the host's loopback only.
    """
    return Interface(
        mac=format_mac(vm_id),
        address="10.0.2.15",
        prefix=24,
        gateway="10.0.2.2",
        dns=("10.0.2.3",),
    )
