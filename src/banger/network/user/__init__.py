"""The `user` network: outgoing traffic for one VM, without privilege, and no way in."""

from banger.network.user.kind import NETWORK

__all__ = ["NETWORK"]
