"""The HTTP front: one port of the host's loopback, for the links of all VMs.

Each connection is served by a task, at most `CLIENTS_MAX` of them at once; more wait to be
accepted. A client decides by the Host of each request which VM it reaches, so no request can reach
another than it names: an HTTP/1.1 request has a connection of its own into the guest (`http1.py`),
and an HTTP/2 connection stays with the VM that its first request names (`http2.py`).

Every program of this host, also another user's, can connect to its loopback, and so can pages that
its user's browser shows: the front asks nobody who they are. What a guest serves there is as open
as a server on this host's loopback is, and a page that a guest serves may ask another VM's server,
as any page of the internet may: such a server's own rules (CORS, Host, Origin) apply.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine
from types import TracebackType

from banger.errors import BangerError, HostFailed
from banger.forwards import LOOPBACKS, Endpoint, accept, open_listener
from banger.names.answers import Refusal
from banger.names.guests import Find
from banger.names.pipes import HostSocket

CLIENTS_MAX = 256
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What an HTTP/2 client sends first (RFC 9113, section 3.4)."""
HEAD_S = 60.0
"""For a client to send its first bytes."""

log = logging.getLogger(__name__)


class HttpFront:
    """The listening sockets and connections of the front. Use it in an `async with`."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._wanted: int | None = None
        self._doors: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(CLIENTS_MAX)
        self.problem: BangerError | None = None
        """Why nothing listens at the port that is wanted."""

    async def __aenter__(self) -> HttpFront:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int | None:
        """The port that links have; None while nothing listens."""
        return self._wanted if self._doors else None

    async def listen(self, port: int) -> None:
        """Listen at this port of the loopback, and no other; 0: at none. Idempotent.

        `problem` says afterwards why that was not possible; then it may be tried again.
        """
        if self._doors and port == self._wanted:
            return
        await self._close_doors()
        self._wanted, known, self.problem = port, self.problem, None
        if port == 0:
            return
        try:
            listeners = _open_listeners(port)
        except BangerError as error:
            self.problem = error
            if known is None or known.message != error.message:
                log.warning("there are no links to VMs: %s", error.message)
            return
        self._doors = [self._start(self._serve(sock), owns=sock) for sock in listeners]

    async def _close_doors(self) -> None:
        doors, self._doors = self._doors, []
        for door in doors:
            door.cancel()
        await asyncio.gather(*doors, return_exceptions=True)

    async def _serve(self, listener: socket.socket) -> None:
        while True:
            await self._room.acquire()
            try:
                sock = await accept(listener)
            except BaseException:
                self._room.release()
                raise
            task = self._start(_converse(sock, self._find), owns=sock)
            task.add_done_callback(lambda _: self._room.release())

    def _start(
        self, work: Coroutine[object, object, None], *, owns: socket.socket
    ) -> asyncio.Task[None]:
        """Start a task, whose end closes the socket: also where it is cancelled at once."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: owns.close())
        return task


def _open_listeners(port: int) -> list[socket.socket]:
    """Listen at a port of the loopback in both families, or at none.

    Raises:
        PortTaken, PortNotPermitted: it cannot be had.
        HostFailed: the host has neither family.
    """
    found: list[socket.socket] = []
    problem: BangerError | None = None
    for address in LOOPBACKS:
        try:
            found.append(open_listener(Endpoint(address, port)))
        except HostFailed as error:
            problem = problem or error  # a host without IPv6 has the other
        except BangerError:
            for sock in found:
                sock.close()
            raise
    if not found and problem is not None:
        raise problem
    return found


async def _converse(sock: socket.socket, find: Find) -> None:
    """Serve one client to its end."""
    client = HostSocket(sock)
    try:
        async with asyncio.timeout(HEAD_S):
            head = await _read_beginning(client)
        if head.startswith(PREFACE):
            from banger.names.http2 import serve_http2

            await serve_http2(client, head.removeprefix(PREFACE), find)
        elif head:
            from banger.names.http1 import serve_http1

            await serve_http1(client, head, find)
    except (OSError, BangerError, Refusal) as error:  # TimeoutError is an OSError
        client.reset()
        log.debug("a connection of the front broke: %s", error)
    except BaseException:
        client.reset()
        raise


async def _read_beginning(client: HostSocket) -> bytes:
    """Read until it is known whether the client speaks HTTP/2; b"" if it says nothing."""
    head = b""
    while len(head) < len(PREFACE) and PREFACE.startswith(head):
        data = await client.read()
        if not data:
            break
        head += data
    return head
