"""A port of the host's loopback, in both families, and a task for each connection to it.

At most `CLIENTS_MAX` connections are served at once; more wait to be accepted. Programs of all
users of this host can connect.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine

from banger.errors import BangerError, HostFailed, PortTaken
from banger.forwards import LOOPBACKS, Endpoint, accept, open_listener
from banger.names.links import PORT_MAX
from banger.names.pipes import HostSocket

CLIENTS_MAX = 256
SPARE_STEP = 10
"""From a port that is taken to the next one that is tried: further users of a host have theirs."""
SPARE_PORTS = 16
"""How many are tried, the first one included."""

log = logging.getLogger(__name__)

Serve = Callable[[HostSocket], Awaitable[None]]
"""Serves one client to its end; OSError, also TimeoutError, and BangerError end it early."""


class LoopbackServer:
    """The listening sockets and connections of one port. Use it in an `async with`."""

    def __init__(self, serve: Serve, *, what: str, spares: bool = False) -> None:
        self._serve = serve
        self._spares = spares
        """Whether another port will do where the wanted one is taken."""
        self._what = what
        """What there is none of while nothing listens, for messages: `links to VMs`."""
        self._wanted: int | None = None
        self._port: int | None = None
        self._doors: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(CLIENTS_MAX)
        self._problem: BangerError | None = None

    async def __aenter__(self) -> LoopbackServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int | None:
        """The port that is listened at; None while nothing listens."""
        return self._port if self._doors else None

    @property
    def problem(self) -> str | None:
        """Why nothing listens at the port that is wanted, in a sentence."""
        return f"{self._what} are unavailable: {self._problem.message}" if self._problem else None

    async def listen(self, port: int) -> None:
        """Listen at this port of the loopback, or where that is taken at a spare one; 0: at none.

        Idempotent. `problem` says afterwards why it was not possible; then it may be tried again.
        """
        if self._doors and port == self._wanted:
            return
        await self._close_doors()
        known, self._problem, self._wanted = self.problem, None, port
        if port == 0:
            return
        try:
            self._port, listeners = _open_first(plan_ports(port, spares=self._spares))
        except BangerError as error:
            self._problem = error
            if self.problem != known:
                log.warning("%s", self.problem)
            return
        self._doors = [self._start(self._accept(sock), owns=sock) for sock in listeners]

    async def _close_doors(self) -> None:
        doors, self._doors = self._doors, []
        for door in doors:
            door.cancel()
        await asyncio.gather(*doors, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await self._room.acquire()
            try:
                sock = await accept(listener)
            except BaseException:
                self._room.release()
                raise
            task = self._start(self._converse(sock), owns=sock)
            task.add_done_callback(lambda _: self._room.release())

    async def _converse(self, sock: socket.socket) -> None:
        client = HostSocket(sock)
        try:
            await self._serve(client)
        except (OSError, BangerError) as error:
            client.reset()
            log.debug("a connection to a VM broke: %s", error)
        except BaseException:
            client.reset()
            raise

    def _start(
        self, work: Coroutine[object, object, None], *, owns: socket.socket
    ) -> asyncio.Task[None]:
        """Start a task, whose end closes the socket: also where it is cancelled at once."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: owns.close())
        return task


def plan_ports(port: int, *, spares: bool) -> list[int]:
    """Return the ports to try, in order. Pure."""
    last = port + SPARE_PORTS * SPARE_STEP if spares else port + 1
    return [each for each in range(port, last, SPARE_STEP) if each <= PORT_MAX]


def _open_first(ports: list[int]) -> tuple[int, list[socket.socket]]:
    """Return the first port that can be listened at, and its sockets.

    Raises:
        BangerError: none can; why the first one cannot.
    """
    problem: PortTaken | None = None
    for port in ports:
        try:
            return port, _open_listeners(port)
        except PortTaken as error:
            problem = problem or error
    assert problem is not None, "there is at least one"
    raise problem


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
