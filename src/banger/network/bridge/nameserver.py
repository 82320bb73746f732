"""The sockets at which the bridge's guests ask for names, which the helper has; for the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from banger.network.bridge import tap
from banger.network.bridge.addresses import NETWORK, NETWORK6, address6, host_address
from banger.network.bridge.process import open_nameserver

HOST6 = address6(host_address(NETWORK))


def has_ipv6() -> bool:
    """Tell whether this host has its IPv6 address on the bridge."""
    with contextlib.suppress(OSError):
        return HOST6.packed.hex() in Path("/proc/net/if_inet6").read_text()
    return False


class BridgeNameserver:
    """See `network.port.Nameserver`."""

    networks = (NETWORK, NETWORK6)
    address = str(host_address(NETWORK))

    def list_addresses(self) -> tuple[str, ...]:
        """Return the bridge's addresses; a host may have no IPv6."""
        return (self.address, str(HOST6)) if has_ipv6() else (self.address,)

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
