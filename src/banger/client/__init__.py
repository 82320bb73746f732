"""The client: synchronous, standard library only; its only state is the connection.

Streams are in `banger.client.stream`, which most commands do not import.
"""

from banger.client.client import Client, Interrupted

__all__ = ["Client", "Interrupted"]
