"""One connection to one guest's agent: HELLO, the table of streams, closing.

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

from banger.errors import BangerError, GuestGone, GuestProtocolError, GuestRefused
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
from banger.guest.link import Link
from banger.guest.stream import Request, Stream

MAX_STREAMS = 64
"""Open streams of one connection (guest protocol, section 4)."""


class GuestConnection:
    """A connection whose HELLO was answered. Create it with `connect`."""

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._link = Link(FrameDecoder(nonce), on_frame=self._accept, on_fail=self._wake_all)
        self._hello: Hello | None = None
        self._greeted = asyncio.Event()
        self._streams: dict[int, Stream] = {}
        self._next_number = 1
        self.used_at = 0.0
        """Time, by the loop's clock, when a request that is work last began or ended."""

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

    async def open_stream(self, request: Request) -> Stream:
        """Send a request and return its stream.

        Raises:
            GuestRefused: 64 streams are open.
            InvalidRequest: the request is larger than the protocol allows.
        """
        await self._link.drain()
        if len(self._streams) >= MAX_STREAMS:
            raise _too_many_streams()
        number = self._next_number
        data = encode_request(number, request.kind, fields=request.fields)
        self._link.send(data)
        self._next_number += 1
        stream = self._streams[number] = Stream(self._link, number, request=request)
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
            self._greeted.set()
            return
        stream = self._streams.get(frame.stream)
        if stream is None:
            raise GuestProtocolError(f"The guest sent on stream {frame.stream}, which is not open.")
        stream.accept(frame)
        if stream.ended:
            del self._streams[frame.stream]
            self._note_use(stream)

    def _note_use(self, stream: Stream) -> None:
        if stream.is_work:
            self.used_at = asyncio.get_running_loop().time()

    def _wake_all(self) -> None:
        self._greeted.set()
        for stream in self._streams.values():
            stream.wake()
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


def _too_many_streams() -> GuestRefused:
    refusal = GuestRefused(
        f"The guest is busy: {MAX_STREAMS} requests are open.",
        hint="Wait for one to end.",
        retryable=True,
    )
    refusal.guest_code = "too-many-streams"
    return refusal
