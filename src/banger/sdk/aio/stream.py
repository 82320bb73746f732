"""The stream of a method, for programs with an asyncio loop: output to iterate over, input to send.

Holds at most `KEPT_BYTES` of unread output, and one read more; then the daemon waits,
and the VM with it. While input is sent output is taken all the same, since a program may write
before it reads on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType

from banger.api.stream import MAX_PAYLOAD_BYTES, Control
from banger.client.aio import DaemonStream
from banger.errors import GuestOutputTooBig
from banger.sdk.command import OUTPUT_MAX_BYTES, closed_error

KEPT_BYTES = 1024 * 1024


class AsyncStream:
    """A stream; a block closes it, which ends what it stands for."""

    def __init__(self, connection: DaemonStream) -> None:
        self.result = connection.result
        """What the method has returned."""
        self.exit: dict[str, int] = {}
        """`status` or `signal`, when the iteration has ended."""
        self.take: Callable[[int, bytes], None] = self._keep
        """What gets each piece of output, with its channel; by default it is kept to be read."""
        self._connection = connection
        self._is_started = False
        self._rest = memoryview(b"")
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._passed = 0
        self._takes_all = False
        self._changed = asyncio.Event()
        self._is_over = False
        self._failure: BaseException | None = None

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._connection.close()
        self.ended({}, closed_error())

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what comes, with its channel, until the stream ends.

        Raises:
            BangerError: the stream ended with this error.
            Cancelled: it was closed before it ended.
            GuestOutputTooBig: too much has come while input was sent.
        """
        self._start()
        while self._kept or not self._is_over:
            if not self._kept:
                self._connection.resume()
                await self._next_change()
                continue
            piece = self._kept.popleft()
            self._kept_bytes -= len(piece[1])
            yield piece
        self._require_success()

    async def send(self, data: bytes) -> None:
        """Send input; what comes meanwhile is kept, at most `OUTPUT_MAX_BYTES`.

        Cancelled, it sends no more.
        """
        self._start()
        self._rest = memoryview(data)
        self.may_send()
        try:
            with self._taking_all():
                while self._rest and not self._is_over:
                    await self._next_change()
        finally:
            self._rest = memoryview(b"")

    def control(self, content: Control) -> None:
        """Send a control frame."""
        self._start()
        self._connection.control(content)

    async def wait(self) -> dict[str, int]:
        """Return how the stream ended; what comes meanwhile is kept.

        Raises:
            BangerError: it ended with this error.
            Cancelled: it was closed before it ended.
        """
        self._start()
        with self._taking_all():
            while not self._is_over:
                await self._next_change()
        self._require_success()
        return self.exit

    @property
    def passed(self) -> int:
        """Bytes of output that have come, and of gaps."""
        return self._passed + self._connection.lost_bytes

    @property
    def failure(self) -> BaseException | None:
        """With what it has ended, if that is known yet."""
        return self._failure

    @property
    def untaken_bytes(self) -> int:
        """Bytes of input that were sent and that the daemon has not said to be taken."""
        return self._connection.untaken_bytes

    @property
    def is_cut_off(self) -> bool:
        """Tell whether the connection was lost before the daemon read all that was sent."""
        return self._connection.is_cut_off

    def take_over(self, other: AsyncStream) -> None:
        """Begin with what another stream has kept, which is closed."""
        other.close()
        self._kept, self._kept_bytes = other._kept, other._kept_bytes

    # --- called by the connection ---

    def output(self, channel: int, data: bytes) -> None:
        """Pass output on."""
        self._passed += len(data)
        try:
            self.take(channel, data)
        except Exception as error:  # noqa: BLE001 - raised where the end is awaited
            self._connection.close()
            self.ended({}, error)
        self._changed.set()

    def output_ended(self) -> None:
        """Do nothing: the end follows."""

    def may_send(self) -> None:
        """Send what there is room for."""
        while self._rest and (room := self._connection.room):
            piece = self._rest[: min(room, MAX_PAYLOAD_BYTES)]
            self._connection.send(piece)
            self._rest = self._rest[len(piece) :]
        self._changed.set()

    def ended(self, exit_: dict[str, int], error: Exception | None) -> None:
        """Note how it ended, once."""
        if not self._is_over:
            self._is_over, self.exit, self._failure = True, exit_, error
        self._changed.set()

    # --- private ---

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._connection.start(self)

    @contextlib.contextmanager
    def _taking_all(self) -> Iterator[None]:
        """Receive output during a block, although it is not read."""
        self._takes_all = True
        self._connection.resume()
        try:
            yield
        finally:
            self._takes_all = False

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _keep(self, channel: int, data: bytes) -> None:
        self._kept.append((channel, data))
        self._kept_bytes += len(data)
        if self._kept_bytes > OUTPUT_MAX_BYTES:
            raise GuestOutputTooBig(f"The VM sent more than {OUTPUT_MAX_BYTES >> 20} MiB.")
        if self._kept_bytes > KEPT_BYTES and not self._takes_all:
            self._connection.pause()

    def _require_success(self) -> None:
        if self._failure is not None:
            raise self._failure
