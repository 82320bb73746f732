"""The client: synchronous, standard library only; holds no state but its connection."""

from banger.client.client import Client
from banger.client.stream import ClientStream

__all__ = ["Client", "ClientStream"]
