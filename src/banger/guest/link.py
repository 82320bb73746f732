"""Frames over one socket: receive, send with back pressure, fail.

Owns the socket. Works in the event loop's callbacks, so there is no reader task to
own, and a frame costs no task switch. Reading is never paused: the windows of the
streams (`flow_control.py`) bound the guest's data, and data beyond a window breaks
the connection.

The first failure is kept: the peer closed, the peer broke the protocol, the owner
closed, or the owner reported that the VMM died (`fail`). Every later send and wait
raises that failure.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import cast

from banger.errors import BangerError, GuestGone, GuestProtocolError
from banger.guest.codec import Frame, FrameDecoder

HIGH_WATER = 512 * 1024
"""Unsent bytes from which data senders wait: two batches of `Stream.write`."""

LOW_WATER = 128 * 1024

MAX_BACKLOG = 4 * 1024 * 1024
"""Most unsent bytes held for a guest that does not read; small frames do not wait."""


class Link(asyncio.BufferedProtocol):
    """One socket to one agent."""

    def __init__(
        self,
        decoder: FrameDecoder,
        *,
        on_frame: Callable[[Frame], None],
        on_fail: Callable[[], None],
    ) -> None:
        self.failure: BangerError | None = None
        self._decoder = decoder
        self._on_frame = on_frame
        self._on_fail = on_fail
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # --- called by asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._decoder.space()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for frame in self._decoder.advance(nbytes):
                self._on_frame(frame)
                if self.failure:
                    return
        except GuestProtocolError as error:
            self.fail(error)

    def eof_received(self) -> bool:
        self.fail(_gone("was closed"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(_gone(f"was lost{_because(exc)}"))
        if not self._lost.done():
            self._lost.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake_drain()

    # --- called by streams and the connection ---

    def send(self, data: bytes) -> None:
        """Send complete frames now; buffer, within bounds, bytes that the socket does not accept.

        Raises:
            BangerError: the link has failed, now or earlier.
        """
        self.check()
        assert self._transport is not None
        if self._transport.get_write_buffer_size() > MAX_BACKLOG:
            self.fail(GuestProtocolError("The guest's agent has stopped reading."))
            self.check()
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until more data may be sent.

        Raises:
            BangerError: the link has failed.
        """
        self.check()
        while self._paused:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._drain_waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._drain_waiters:
                    self._drain_waiters.remove(waiter)
            self.check()

    def check(self) -> None:
        """Raise a copy of the failure, if there is one."""
        if self.failure is not None:
            # A shared exception would collect the tracebacks of all its waiters.
            raise copy.copy(self.failure)

    def fail(self, error: BangerError) -> None:
        """Break the link and wake every waiter. Only the first failure is kept."""
        if self.failure is not None:
            return
        self.failure = error
        if self._transport is not None:
            self._transport.abort()
        self._wake_drain()
        self._on_fail()

    async def wait_lost(self) -> None:
        """Return when the socket is closed."""
        await asyncio.shield(self._lost)

    def _wake_drain(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _because(error: Exception | None) -> str:
    return f" ({error})" if error else ""


def _gone(how: str) -> GuestGone:
    """Return the error for a lost link: the VMM, which holds the other end, has ended."""
    return GuestGone(f"The VM ended: the connection to its agent {how}.", hint="banger vm list")
