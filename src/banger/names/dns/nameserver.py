"""The nameserver of guests that share a network: VMs' names, and all others by the host's resolver.

A guest is known by the address that it asks from, to which the network holds it; whoever is not of
the network is not answered. Names of VMs are answered here alone, and nobody else is asked for
them. Each guest has at most `GUEST_MAX` queries and connections under way, all guests `ALL_MAX`:
what is more is lost, as UDP may lose it, and asked again. If the process dies, the sockets stay
with whoever has given them, and what was asked meanwhile is answered by the next process.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from banger.forwards import accept
from banger.names.dns.server import FAILED, IDLE_S, Load, look_up, receive, take_message
from banger.names.dns.upstream import Server, ask_upstream, load_nameservers
from banger.names.dns.zone import is_ours, plan_reverse
from banger.names.pipes import HostSocket
from banger.network.dnswire import BadQuery, parse_query, render_answer

GUEST_MAX, ALL_MAX = 64, 256
Client = tuple[str, int]


class GuestNameserver:
    """Answers at sockets that it is given. Use it in an `async with`."""

    def __init__(
        self,
        networks: Sequence[IPv4Network | IPv6Network],
        load: Load,
        *,
        load_servers: Callable[[], tuple[Server, ...]] = load_nameservers,
    ) -> None:
        self._networks = networks
        self._reverse = [plan_reverse(network) for network in networks]
        self._load = load
        self._load_servers = load_servers
        self._sockets: tuple[socket.socket, ...] = ()
        self._doors: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: Counter[str] = Counter()

    async def __aenter__(self) -> GuestNameserver:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Answer at these sockets, which it owns from now on."""
        self._sockets = udp, tcp
        self._doors = [
            asyncio.create_task(each) for each in (self._serve_udp(udp), self._serve_tcp(tcp))
        ]

    async def stop(self) -> None:
        """Answer nothing any more; close the sockets. Fine if there are none."""
        ended, self._doors = [*self._doors, *self._tasks], []
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        for each in self._sockets:
            each.close()

    async def _serve_udp(self, udp: socket.socket) -> None:
        while True:
            untrusted_data, client = await receive(udp)
            self._begin(client[0], self._answer_datagram(udp, untrusted_data, client))

    async def _serve_tcp(self, tcp: socket.socket) -> None:
        while True:
            client = await accept(tcp)
            try:
                guest = client.getpeername()[0]
            except OSError:  # it has gone already
                client.close()
                continue
            self._begin(guest, self._converse(client, guest), close=client.close)

    def _begin(
        self,
        guest: str,
        work: Coroutine[object, object, None],
        *,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        """Do something for a guest, unless too much is done for it already; close what it has."""
        if self._busy[guest] >= GUEST_MAX or self._busy.total() >= ALL_MAX:
            work.close()
            close()
            return
        self._busy[guest] += 1
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def end(_: object) -> None:
            self._tasks.discard(task)
            self._busy[guest] -= 1
            if not self._busy[guest]:
                del self._busy[guest]
            close()

        task.add_done_callback(end)

    async def _answer_datagram(self, udp: socket.socket, untrusted_data: bytes, to: Client) -> None:
        answer = await self._answer(untrusted_data, to[0], by_tcp=False)
        if answer is not None:
            with contextlib.suppress(OSError):  # as UDP may lose it anywhere else
                await asyncio.get_running_loop().sock_sendto(udp, answer, to)

    async def _converse(self, sock: socket.socket, guest: str) -> None:
        received, client = bytearray(), HostSocket(sock)
        with contextlib.suppress(OSError):  # also TimeoutError
            while True:
                async with asyncio.timeout(IDLE_S):
                    untrusted_data = await take_message(client, received)
                answer = untrusted_data and await self._answer(untrusted_data, guest, by_tcp=True)
                if not answer:
                    return
                async with asyncio.timeout(IDLE_S):
                    await client.write(len(answer).to_bytes(2, "big") + answer)

    async def _answer(self, untrusted_data: bytes, guest: str, *, by_tcp: bool) -> bytes | None:
        """Return the answer to a message; None: there is none."""
        if not any(ip_address(guest) in network for network in self._networks):
            return None
        try:
            query = parse_query(untrusted_data)
        except BadQuery as bad:
            return bad.answer
        if is_ours(query.name, self._reverse):
            return await look_up(query, self._load, self._reverse)
        servers = self._load_servers()
        found = await ask_upstream(untrusted_data, query, servers, by_tcp=by_tcp)
        return found or render_answer(query, FAILED)
