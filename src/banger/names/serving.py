"""Open and close all servers of this room together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from banger.names.dns import Addresses, DnsServer
from banger.names.front import serve_http
from banger.names.guests import Find
from banger.names.pipes import HostSocket
from banger.names.server import LoopbackServer
from banger.names.socks import serve_socks


@dataclass(frozen=True)
class Names:
    """The servers; each listens after a call of `listen`."""

    http: LoopbackServer
    """The front, where links lead."""
    socks: LoopbackServer
    dns: DnsServer

    @property
    def problems(self) -> list[str]:
        """Why some of them do not listen, a sentence each."""
        found = (self.http.problem, self.socks.problem, self.dns.problem)
        return [problem for problem in found if problem is not None]


@contextlib.asynccontextmanager
async def open_names(find: Find, load: Callable[[], Awaitable[Addresses]]) -> AsyncIterator[Names]:
    """Hold the servers for a block.

    `find` says which guest a name means, `load` which address each VM has, running or not.
    """

    async def http(client: HostSocket) -> None:
        await serve_http(client, find)

    async def socks(client: HostSocket) -> None:
        await serve_socks(client, find)

    async with (
        LoopbackServer(http, what="Links to VMs", spares=True) as front,
        LoopbackServer(socks, what="SOCKS connections to VMs", spares=True) as proxy,
        DnsServer(load) as dns,
    ):
        yield Names(front, proxy, dns)
