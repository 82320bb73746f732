"""The client: synchronous, standard library only; holds no state but its connection.

Streams are in `banger.client.stream`, which most commands do not need.
"""

from banger.client.client import Client

__all__ = ["Client"]
