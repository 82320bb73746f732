"""A stream of the daemon for coroutines, with back pressure in both directions.

Unlike the SDK's stream, it takes no more output while input waits: a terminal's may be endless.
Owns nothing: the opener of the stream closes it. At most `KEPT_BYTES` and one read wait here.
"""

from __future__ import annotations

import asyncio
from collections import deque

from banger.api.stream import MAX_PAYLOAD_BYTES
from banger.client.aio import DaemonStream
from banger.errors import BangerError

KEPT_BYTES = 256 * 1024


class Streaming:
    """The callbacks of a stream (`client.aio.Receiver`), and what waits for them."""

    def __init__(self, stream: DaemonStream) -> None:
        self._stream = stream
        self._output: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._changed = asyncio.Event()
        self._error: BangerError | None = None
        self.exit: dict[str, int] | None = None
        """How it ended, once `read` has returned None."""
        stream.start(self)

    async def read(self) -> tuple[int, bytes] | None:
        """Return the channel and the bytes of the next output; None at the end.

        Raises:
            BangerError: the stream ended with an error.
        """
        while not self._output:
            if self._error is not None:
                raise self._error
            if self.exit is not None:
                return None
            await self._wait()
        channel, data = self._output.popleft()
        self._kept_bytes -= len(data)
        if self._kept_bytes < KEPT_BYTES:
            self._stream.resume()
        return channel, data

    async def write(self, data: bytes) -> None:
        """Send input as the daemon takes it; drop it once the stream is over."""
        rest = memoryview(data)
        while rest and not self._is_over:
            piece = rest[: min(self._stream.room, MAX_PAYLOAD_BYTES)]
            if piece:
                self._stream.send(piece)
                rest = rest[len(piece) :]
            else:
                await self._wait()

    def end_input(self) -> None:
        """Send the end of the input."""
        self._stream.control({"eof": True})

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    @property
    def _is_over(self) -> bool:
        return self.exit is not None or self._error is not None

    # --- the stream's callbacks ---

    def output(self, channel: int, data: bytes) -> None:
        """Keep output; read no more of it while much waits."""
        self._output.append((channel, data))
        self._kept_bytes += len(data)
        if self._kept_bytes >= KEPT_BYTES:
            self._stream.pause()
        self._changed.set()

    def output_ended(self) -> None:
        """Do nothing: the end follows."""

    def may_send(self) -> None:
        """Go on to send."""
        self._changed.set()

    def ended(self, exit_: dict[str, int], error: BangerError | None) -> None:
        """Note the end."""
        self.exit, self._error = (exit_ if error is None else None), error
        self._changed.set()
