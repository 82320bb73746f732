"""A guest's network interface: the facts that both sides must agree on. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from banger.model.names import VmId


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What the guest is told about its interface."""

    mac: str
    address: str
    prefix: int
    gateway: str
    dns: tuple[str, ...]


def user_interface(vm_id: VmId) -> Interface:
    """Return the interface of a VM with user networking.

    The same addresses in every VM, since each has a network of its own. The
    nameserver is the network's: it passes queries on to the host's resolver, also where
    that listens on the host's loopback only.
    """
    return Interface(
        mac=format_mac(vm_id),
        address="10.0.2.15",
        prefix=24,
        gateway="10.0.2.2",
        dns=("10.0.2.3",),
    )


def format_mac(vm_id: VmId) -> str:
    """Return a VM's MAC address: locally administered, and the VM's own (hazard D2)."""
    digest = hashlib.sha256(vm_id.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
