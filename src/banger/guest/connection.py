"""One connection to one guest's agent: HELLO, the table of streams and who waits, closing.

Owns the link and its streams; the caller of `connect` owns the connection and
closes it. If this process dies the socket closes, and the agent drops requests in
progress when the next host sends HELLO (guest protocol, section 3): nothing is
left to clean up here.

Hazard E2: whatever the guest sends breaks only this connection, with a typed error
for each waiter. H2: `fail` wakes all waiters when the VMM has died.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from banger.errors import BangerError, GuestGone, GuestProtocolError
from banger.guest.admission import Admission, Lane, Ticket, lane_of, plan_shares
from banger.guest.codec import (
    NONCE_BYTES,
    Frame,
    FrameDecoder,
    Hello,
    encode_hello,
    encode_request,
    parse_hello,
)
from banger.guest.deadlines import deadline
from banger.guest.fields import Fields
from banger.guest.flow_control import FIRST_WINDOW, POOL_BYTES, WINDOW, WindowPool
from banger.guest.link import Link
from banger.guest.stream import Request, Stream

OnWait = Callable[[int], None]
"""Called when a request has to wait, with the number of requests of its lane that may be open."""


class GuestConnection:
    """A connection whose HELLO was answered. Create it with `connect`."""

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._link = Link(FrameDecoder(nonce), on_frame=self._accept, on_fail=self._wake_all)
        self._hello: Hello | None = None
        self._greeted = asyncio.Event()
        self._admission = Admission({})
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}
        self._streams: dict[int, Stream] = {}
        self._tickets: dict[int, Ticket] = {}
        self._pool = WindowPool(POOL_BYTES)
        self._next_number = 1
        self.used_at = 0.0
        """Time, by the loop's clock, when a request that is work last began or ended."""
        self.starts_under_way = 0
        """Programs that were asked for and do not run yet."""

    @property
    def hello(self) -> Hello:
        """The agent's HELLO on this connection."""
        assert self._hello is not None
        return self._hello

    @property
    def closed(self) -> bool:
        """Whether the connection has failed or was closed."""
        return self._link.failure is not None

    @property
    def is_working(self) -> bool:
        """Whether a command, a copy or a forwarded connection is open."""
        return any(stream.is_work for stream in self._streams.values())

    async def wait_closed(self) -> None:
        """Return when the connection is closed, by either side."""
        await self._link.wait_lost()

    def fail(self, error: BangerError) -> None:
        """Break the connection: every present and later waiter gets `error`."""
        self._link.fail(error)

    async def close(self) -> None:
        """Close the connection; every waiter gets GuestGone."""
        self.fail(GuestGone("The connection to the guest's agent was closed."))
        await self.wait_closed()

    async def admit(self, lane: Lane, *, on_wait: OnWait | None = None) -> Ticket:
        """Wait until one more request of the lane may be open, as long as it takes.

        Pass the ticket to `open_stream` at once.
        """
        self._link.check()
        ticket = self._admission.join(lane)
        if not ticket.is_admitted:
            if on_wait is not None:
                on_wait(self._admission.share(lane))
            await self._wait_for_room(ticket)
        return ticket

    async def open_stream(self, request: Request, ticket: Ticket | None = None) -> Stream:
        """Send a request, when its turn has come, and return its stream.

        Raises:
            InvalidRequest: the request is larger than the protocol allows.
        """
        if ticket is None:
            ticket = await self.admit(lane_of(request.kind))
        try:
            await self._link.drain()
            number = self._next_number
            self._link.send(encode_request(number, request.kind, fields=request.fields))
        except BaseException:
            self._leave(ticket)
            raise
        self._next_number += 1
        self._tickets[number] = ticket
        window = FIRST_WINDOW if self.hello.version > 1 else WINDOW
        stream = self._streams[number] = Stream(
            self._link, number, request=request, window=window, pool=self._pool
        )
        self._note_use(stream)
        return stream

    async def ask(self, request: Request, *, deadline_s: float) -> Fields:
        """Make a request without data and return its RESULT.

        Raises:
            GuestRefused: the request failed in the agent.
            DeadlineExceeded: no answer in time; the request was given up.
        """
        async with deadline(request.what, deadline_s), await self.open_stream(request) as stream:
            return await stream.result()

    async def _greet(self) -> None:
        """Send the host's HELLO and wait for the agent's."""
        self._link.send(encode_hello(self._nonce))
        await self._greeted.wait()
        self._link.check()

    def _accept(self, frame: Frame) -> None:
        if self._hello is None:
            self._hello = parse_hello(frame, nonce=self._nonce)
            self._admission = Admission(plan_shares(self._hello.streams))
            self._greeted.set()
            return
        stream = self._streams.get(frame.stream)
        if stream is None:
            raise GuestProtocolError(f"The guest sent on stream {frame.stream}, which is not open.")
        stream.accept(frame)
        if stream.ended:
            del self._streams[frame.stream]
            self._leave(self._tickets.pop(frame.stream))
            self._note_use(stream)

    async def _wait_for_room(self, ticket: Ticket) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = waiter
        try:
            await waiter
            self._link.check()
        except BaseException:
            self._leave(ticket)
            raise
        finally:
            self._waiting.pop(ticket, None)

    def _leave(self, ticket: Ticket) -> None:
        """Give a ticket back, and wake the request that gets its place."""
        following = self._admission.leave(ticket)
        waiter = None if following is None else self._waiting.get(following)
        # One that was cancelled meanwhile gives its ticket back by itself.
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _note_use(self, stream: Stream) -> None:
        if stream.is_work:
            self.used_at = asyncio.get_running_loop().time()

    def _wake_all(self) -> None:
        self._greeted.set()
        for stream in self._streams.values():
            stream.wake()
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_result(None)
        self._streams.clear()


async def connect(sock: socket.socket, *, deadline_s: float) -> GuestConnection:
    """Connect to the agent over a connected stream socket; the caller closes the connection.

    Takes ownership of the socket. Returns when the agent has answered, which may take as long
    as the guest's boot.

    Raises:
        GuestGone: the VMM closed the socket.
        GuestProtocolError: the answer is not banger's agent's.
        DeadlineExceeded: no answer in time.
    """
    connection = GuestConnection(os.urandom(NONCE_BYTES))
    sock.setblocking(False)
    await asyncio.get_running_loop().create_connection(lambda: connection._link, sock=sock)
    try:
        async with deadline("the HELLO of the guest's agent", deadline_s):
            await connection._greet()
    except BaseException:
        await connection.close()
        raise
    return connection
