"""The forwards of one running VM: kept as planned from its guest's listeners and published ports.

Owns the sockets that listen, and a task for each of them and for each connection. A socket that
cannot be opened, since the host uses its port, is tried again every `RETRY_S`. When a listener of
the guest goes its socket is closed, and the connections that it had go on, as in the guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from banger.errors import BangerError
from banger.forwards.abilities import Ability, find_lack, needed_ability
from banger.forwards.connecting import connect_guest_end, connect_guest_port
from banger.forwards.datagrams import Conversations
from banger.forwards.ends import LOOPBACKS, Endpoint, Forward, GuestEnd, GuestPort, HostEnd
from banger.forwards.listening import accept, close_listener, open_listener, read_first_port
from banger.forwards.plan import plan_guest_hosts, plan_mirrors
from banger.forwards.relay import relay, reset_when_closed
from banger.guest import GuestConnection, GuestTcp, GuestUdp, Listeners, open_udp

CONNECTIONS_MAX = 1100
"""Open connections of one VM; more of them wait to be accepted. Fewer than the agent serves
(`guest/admission.py`): an SSH client's forwards go on while these are all in use."""
RETRY_S = 1.0

log = logging.getLogger(__name__)


class PortState(NamedTuple):
    """Where a port of the guest appears at the VM's address, and why it does not."""

    host: Endpoint
    problem: BangerError | None


@dataclass
class _Door:
    """An open socket of the host: where it leads, and what serves it."""

    guest: GuestEnd
    task: asyncio.Task[None]


class PortForwards:
    """Sockets of the host that lead into one guest. Use it in an `async with`."""

    def __init__(self, address: str, connect: Callable[[], Awaitable[GuestConnection]]) -> None:
        self._address = address
        self._connect = connect
        self._first_port = read_first_port()
        self._listeners: Listeners = frozenset()
        self._published: dict[HostEnd, GuestEnd] = {}
        self._mirrors: dict[int, Endpoint] = {}
        self._doors: dict[HostEnd, _Door] = {}
        self._problems: dict[HostEnd, BangerError] = {}
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)
        self._conversations = Conversations()
        self._lacks: dict[Ability, BangerError | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry: asyncio.Task[None] | None = None

    async def __aenter__(self) -> PortForwards:
        return self

    async def __aexit__(self, *_: object) -> None:
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
        """Have these ports and sockets published, and no others."""
        self._published = {each.host: each.guest for each in forwards}
        self._open_as_planned()

    def find_mirror(self, guest_port: int) -> PortState | None:
        """Return where a listener of the guest appears; None if it does not."""
        host = self._mirrors.get(guest_port)
        return None if host is None else PortState(host, self.find_problem(host))

    def find_problem(self, host: HostEnd) -> BangerError | None:
        """Return why what is planned at a place of the host is not there; None: it is."""
        return self._problems.get(host)

    async def find_lack(self, host: HostEnd) -> BangerError | None:
        """Return why an open place of the host leads nowhere, if the agent is too old for it.

        The agent is asked once for each thing that it may be unable to do.
        """
        door = self._doors.get(host)
        ability = None if door is None else needed_ability(door.guest)
        if ability is None:
            return None
        if ability not in self._lacks:
            try:
                self._lacks[ability] = await find_lack(await self._connect(), ability)
            except BangerError:  # it is asked again the next time
                return None
        return self._lacks[ability]

    @property
    def guest_ports(self) -> set[int]:
        """The TCP ports that the guest listens on."""
        return {port for _, port in self._listeners}

    @contextlib.asynccontextmanager
    async def reach(self, guest_port: int) -> AsyncIterator[GuestTcp]:
        """Connect to a port of the guest for a block, also to one that appears nowhere.

        Such a connection is one of the `CONNECTIONS_MAX`, and waits for room among them.

        Raises:
            GuestRefused: nothing in the guest accepts.
            GuestGone: the VM ended.
        """
        listening = [host for host, port in self._listeners if port == guest_port]
        hosts = plan_guest_hosts(listening) or LOOPBACKS
        async with self._room:
            connection = await self._connect()
            async with await connect_guest_port(connection, guest_port, hosts=hosts) as tcp:
                yield tcp

    def _open_as_planned(self) -> None:
        taken = [host for host in self._published if isinstance(host, Endpoint)]
        mirrors = plan_mirrors(
            self._listeners, self._address, first_port=self._first_port, taken=taken
        )
        self._mirrors = {guest.port: host for host, guest in mirrors.items()}
        # A published port wins over a listener's that would appear at the same endpoint.
        wanted: dict[HostEnd, GuestEnd] = dict(mirrors.items())
        wanted |= self._published
        for host in self._doors.keys() - wanted.keys():
            self._shut(host)
        self._problems = {}
        for host, guest in wanted.items():
            self._open(host, guest)
        if self._problems and (self._retry is None or self._retry.done()):
            self._retry = self._start(self._open_later())

    def _open(self, host: HostEnd, guest: GuestEnd) -> None:
        door = self._doors.get(host)
        if door is not None:
            door.guest = guest
            return
        try:
            sock = open_listener(host)
        except BangerError as error:
            self._problems[host] = error
            return
        if isinstance(host, Endpoint) and host.protocol == "udp":
            service = self._conversations.serve(sock, lambda: self._open_udp(host))
        else:
            service = self._serve(sock, host)
        task = self._start(service, at_end=lambda: close_listener(sock, host))
        self._doors[host] = _Door(guest, task)

    async def _open_later(self) -> None:
        while self._problems:
            await asyncio.sleep(RETRY_S)
            self._open_as_planned()

    def _shut(self, host: HostEnd) -> None:
        # The task's end closes the socket: until then the event loop watches the descriptor.
        self._doors.pop(host).task.cancel()

    async def _open_udp(self, host: HostEnd) -> GuestUdp:
        guest = self._doors[host].guest
        assert isinstance(guest, GuestPort)
        return await open_udp(await self._connect(), None, guest.port, deadline_s=None)

    async def _serve(self, listener: socket.socket, host: HostEnd) -> None:
        """Accept connections until cancelled, as many as there is room for."""
        while True:
            sock = await accept(listener)
            try:
                await self._room.acquire()
            except BaseException:
                sock.close()
                raise
            task = self._start(self._join(sock, self._doors[host].guest), at_end=sock.close)
            task.add_done_callback(lambda _: self._room.release())

    async def _join(self, sock: socket.socket, guest: GuestEnd) -> None:
        """Join a connection of the host with one inside the guest, or reset it (I2)."""
        try:
            tcp = await connect_guest_end(await self._connect(), guest)
        except BangerError as error:
            log.debug("a connection leads nowhere: %s", error.message)
            reset_when_closed(sock)
        except BaseException:
            reset_when_closed(sock)
            raise
        else:
            await relay(sock, tcp)

    def _start(
        self, work: Coroutine[object, object, None], *, at_end: Callable[[], None] | None = None
    ) -> asyncio.Task[None]:
        """Start a task with what is done at its end: also where it is cancelled at once."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if at_end is not None:
            task.add_done_callback(lambda _: at_end())
        return task
