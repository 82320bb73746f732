"""The forwards of one running VM: kept as planned from its guest's listeners and published ports.

Owns the listening sockets, and a task for each of them and for each connection. A socket that
cannot be opened, since the host uses its port, is tried again every `RETRY_S`. When a listener of
the guest goes its socket is closed, and the connections that it had go on, as in the guest.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from banger.errors import BangerError
from banger.forwards.connecting import connect_guest_port
from banger.forwards.listening import open_listener, read_first_port
from banger.forwards.plan import Endpoint, Forward, plan_mirrors
from banger.forwards.relay import relay, reset_when_closed
from banger.guest import GuestConnection, Listeners

CONNECTIONS_MAX = 40
"""Open connections of one VM; more of them wait to be accepted."""
RETRY_S = 1.0

log = logging.getLogger(__name__)


class PortState(NamedTuple):
    """Where a port appears on the host, and why it does not."""

    host: Endpoint
    problem: BangerError | None


@dataclass
class _Door:
    """An open listening socket."""

    forward: Forward
    task: asyncio.Task[None]


class PortForwards:
    """Sockets of the host that lead into one guest. Use it in an `async with`."""

    def __init__(self, address: str, connect: Callable[[], Awaitable[GuestConnection]]) -> None:
        self._address = address
        self._connect = connect
        self._first_port = read_first_port()
        self._listeners: Listeners = frozenset()
        self._published: tuple[Forward, ...] = ()
        self._mirrors: dict[int, Forward] = {}
        self._doors: dict[Endpoint, _Door] = {}
        self._problems: dict[Endpoint, BangerError] = {}
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry: asyncio.Task[None] | None = None

    async def __aenter__(self) -> PortForwards:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in list(self._doors):
            self._shut(host)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mirror(self, listeners: Listeners) -> None:
        """Have these listening sockets of the guest appear, and no others."""
        self._listeners = listeners
        self._open_as_planned()

    def publish(self, forwards: Iterable[Forward]) -> None:
        """Have these ports published, and no others."""
        self._published = tuple(forwards)
        self._open_as_planned()

    def find_mirror(self, guest_port: int) -> PortState | None:
        """Return where a listener of the guest appears; None if it does not."""
        forward = self._mirrors.get(guest_port)
        return None if forward is None else self.state_of(forward.host)

    def state_of(self, host: Endpoint) -> PortState:
        """Return what has become of an endpoint that is planned."""
        return PortState(host, self._problems.get(host))

    def _open_as_planned(self) -> None:
        taken = [forward.host for forward in self._published]
        mirrors = plan_mirrors(
            self._listeners, self._address, first_port=self._first_port, taken=taken
        )
        self._mirrors = {forward.guest_port: forward for forward in mirrors}
        # A published port wins over a listener's that would appear at the same endpoint.
        wanted = {forward.host: forward for forward in (*mirrors, *self._published)}
        for host in self._doors.keys() - wanted.keys():
            self._shut(host)
        self._problems = {}
        for forward in wanted.values():
            self._open(forward)
        if self._problems and (self._retry is None or self._retry.done()):
            self._retry = self._start(self._open_later())

    def _open(self, forward: Forward) -> None:
        door = self._doors.get(forward.host)
        if door is not None:
            door.forward = forward
            return
        try:
            sock = open_listener(forward.host)
        except BangerError as error:
            self._problems[forward.host] = error
            return
        task = self._start(self._serve(sock, forward.host), owns=sock)
        self._doors[forward.host] = _Door(forward, task)

    async def _open_later(self) -> None:
        while self._problems:
            await asyncio.sleep(RETRY_S)
            self._open_as_planned()

    def _shut(self, host: Endpoint) -> None:
        # The task's end closes the socket: until then the event loop watches the descriptor.
        self._doors.pop(host).task.cancel()

    async def _serve(self, listener: socket.socket, host: Endpoint) -> None:
        """Accept connections until cancelled, as many as there is room for."""
        while True:
            sock = await _accept(listener)
            try:
                await self._room.acquire()
            except BaseException:
                sock.close()
                raise
            task = self._start(self._join(sock, self._doors[host].forward), owns=sock)
            task.add_done_callback(lambda _: self._room.release())

    async def _join(self, sock: socket.socket, forward: Forward) -> None:
        """Join a connection of the host with one inside the guest, or reset it (I2)."""
        try:
            connection = await self._connect()
            tcp = await connect_guest_port(
                connection, forward.guest_port, hosts=forward.guest_hosts
            )
        except BangerError as error:
            log.debug("%s leads nowhere: %s", forward.host, error.message)
            reset_when_closed(sock)
        except BaseException:
            reset_when_closed(sock)
            raise
        else:
            await relay(sock, tcp)

    def _start(
        self, work: Coroutine[object, object, None], *, owns: socket.socket | None = None
    ) -> asyncio.Task[None]:
        """Start a task, whose end closes the socket: also where it is cancelled at once."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if owns is not None:
            task.add_done_callback(lambda _: owns.close())
        return task


async def _accept(listener: socket.socket) -> socket.socket:
    """Return the next connection; wait a moment where no descriptor is left."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            sock, _ = await loop.sock_accept(listener)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            if error.errno != errno.ECONNABORTED:
                log.warning("a connection cannot be accepted: %s", error)
                await asyncio.sleep(RETRY_S)
        else:
            return sock
