"""How VMs reach the world."""

from banger.network.interface import Interface, format_mac, user_interface
from banger.network.routes import require_route
from banger.network.user import (
    NetworkHandle,
    UserNetwork,
    end_network,
    is_network_alive,
    start_user_network,
    wait_network_gone,
)

__all__ = [
    "Interface",
    "NetworkHandle",
    "UserNetwork",
    "end_network",
    "format_mac",
    "is_network_alive",
    "require_route",
    "start_user_network",
    "user_interface",
    "wait_network_gone",
]
