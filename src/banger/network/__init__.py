"""How VMs reach the world: one protocol, one folder for each kind of network."""

from banger.network.port import Interface, Network, NetworkHandle, StartedNetwork
from banger.network.table import decode_handle, find_network

__all__ = [
    "Interface",
    "Network",
    "NetworkHandle",
    "StartedNetwork",
    "decode_handle",
    "find_network",
]
