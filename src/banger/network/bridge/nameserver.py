"""The sockets at which the bridge's guests ask for names, which the helper has; for the daemon."""

from __future__ import annotations

import asyncio
import os
import socket

from banger.network.bridge import tap
from banger.network.bridge.addresses import NETWORK, host_address
from banger.network.bridge.process import open_nameserver


class BridgeNameserver:
    """See `network.port.Nameserver`."""

    network = NETWORK
    address = str(host_address(NETWORK))

    def find(self) -> tuple[int, int] | None:
        """Return which helper there is: one that was started again has other sockets."""
        try:
            file = os.stat(tap.HELPER)
        except OSError:
            return None
        return file.st_ino, file.st_ctime_ns

    async def open(self) -> tuple[socket.socket, socket.socket]:
        """Return copies of the helper's sockets."""
        return await asyncio.to_thread(open_nameserver, tap.HELPER)
