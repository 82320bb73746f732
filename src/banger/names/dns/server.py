"""The DNS server's sockets: UDP and TCP at one port of the host's loopback.

A datagram is answered before the next one is read, so a flood costs no memory. A TCP client may
send queries one after the other, and has `IDLE_S` for each. Programs of all users of this host can
ask which VMs there are by trying names, as they can try the addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from banger.errors import BangerError
from banger.forwards import Endpoint, open_listener
from banger.names.dns.zone import REVERSE, Addresses, answer_query
from banger.names.pipes import HostSocket
from banger.names.server import LoopbackServer
from banger.network.dnswire import (
    QUERY_MAX,
    Answer,
    BadQuery,
    Code,
    Name,
    Query,
    parse_query,
    render_answer,
)

UDP_ADDRESS = "127.0.0.1"
"""The only port that all resolvers accept: some versions of systemd-resolved take no other."""
IDLE_S = 10.0
PAUSE_S = 1.0
"""After a datagram could not be received."""
FAILED = Answer(Code.SERVER_FAILURE, is_authoritative=False)

Load = Callable[[], Awaitable[Addresses]]

log = logging.getLogger(__name__)


class DnsServer:
    """The server; `listen` says where. Use it in an `async with`."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._tcp = LoopbackServer(self._serve_tcp, what="DNS names of VMs")
        self._udp: asyncio.Task[None] | None = None
        self._problem: str | None = None

    async def __aenter__(self) -> DnsServer:
        await self._tcp.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop_udp()
        await self._tcp.__aexit__()

    @property
    def port(self) -> int | None:
        """The port that is listened at; None while nothing listens."""
        is_complete = self._udp is not None and not self._udp.done()
        return self._tcp.port if is_complete else None

    @property
    def problem(self) -> str | None:
        """Why nothing listens at the port that is wanted, in a sentence."""
        return self._problem or self._tcp.problem

    async def listen(self, port: int) -> None:
        """Listen at this port by UDP and TCP, and no other; 0: at none. Idempotent.

        `problem` says afterwards why that was not possible; then it may be tried again.
        """
        if port != 0 and self.port == port:
            return
        await self._stop_udp()
        await self._tcp.listen(port)
        if self._tcp.port is None:
            return
        try:
            sock = open_listener(Endpoint(UDP_ADDRESS, port, "udp"))
        except BangerError as error:
            self._problem = f"DNS names of VMs are unavailable: {error.message}"
            await self._tcp.listen(0)
            return
        self._udp = asyncio.create_task(self._serve_udp(sock))
        self._udp.add_done_callback(lambda _: sock.close())

    async def _stop_udp(self) -> None:
        task, self._udp, self._problem = self._udp, None, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve_udp(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            untrusted_data, client = await receive(sock)
            answer = await self._answer(untrusted_data)
            if answer is not None:
                with contextlib.suppress(OSError):  # as UDP may lose it anywhere else
                    await loop.sock_sendto(sock, answer, client)

    async def _serve_tcp(self, client: HostSocket) -> None:
        received = bytearray()
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(IDLE_S):
                    untrusted_data = await take_message(client, received)
                answer = None if untrusted_data is None else await self._answer(untrusted_data)
                if answer is None:
                    return
                await client.write(len(answer).to_bytes(2, "big") + answer)

    async def _answer(self, untrusted_data: bytes) -> bytes | None:
        """Return the answer to a message; None: there is none."""
        try:
            query = parse_query(untrusted_data)
        except BadQuery as bad:
            return bad.answer
        return await look_up(query, self._load)


async def look_up(query: Query, load: Load, reverse: Sequence[Name] = (REVERSE,)) -> bytes:
    """Return the answer to a query; `reverse` are the zones of the addresses."""
    try:
        answer = answer_query(query, await load(), reverse)
    except BangerError as error:
        log.warning("a name cannot be looked up: %s", error.message)
        answer = FAILED
    return render_answer(query, answer)


async def receive(sock: socket.socket) -> tuple[bytes, Any]:
    """Return the next datagram, and where it came from."""
    while True:
        try:
            return await asyncio.get_running_loop().sock_recvfrom(sock, QUERY_MAX + 1)
        except OSError as error:
            log.warning("a datagram cannot be received: %s", error)
            await asyncio.sleep(PAUSE_S)


async def take_message(client: HostSocket, received: bytearray) -> bytes | None:
    """Return the next message of a TCP client (RFC 1035, section 4.2.2); None at the end."""
    while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
        if len(received) >= 2 and int.from_bytes(received[:2], "big") > QUERY_MAX:
            return None
        data = await client.read()
        if not data:
            return None
        received += data
    size = int.from_bytes(received[:2], "big")
    message = bytes(received[2 : 2 + size])
    del received[: 2 + size]
    return message
