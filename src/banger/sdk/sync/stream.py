"""The stream of a method, for calls that wait: output to iterate over, input to send.

While input is sent output is taken all the same, since a program may write before it reads on.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType

from banger.api.stream import MAX_PAYLOAD_BYTES, STDIN_WINDOW, Control
from banger.client.stream import ClientStream
from banger.errors import BangerError, GuestOutputTooBig
from banger.sdk.command import OUTPUT_MAX_BYTES, closed_error


class Stream:
    """A stream; a block closes it, which ends what it stands for."""

    def __init__(self, connection: ClientStream) -> None:
        self.result = connection.result
        """What the method has returned."""
        self.exit: dict[str, int] = {}
        """`status` or `signal`, when the iteration has ended."""
        self.take: Callable[[int, bytes], None] = self._keep
        """What gets each piece of output, with its channel; by default it is kept to be read."""
        self._connection = connection
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._connection.close()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield what comes, with its channel, until the stream ends.

        Raises:
            BangerError: the stream ended with this error.
            Cancelled: it was closed before it ended.
        """
        while self._kept or not self._is_over:
            if not self._kept:
                self._receive()
                continue
            piece = self._kept.popleft()
            self._kept_bytes -= len(piece[1])
            yield piece
        self.wait()

    def send(self, data: bytes) -> None:
        """Send input; what comes meanwhile is kept.

        Raises:
            GuestOutputTooBig: that is more than `OUTPUT_MAX_BYTES`.
        """
        rest, connection = memoryview(data), self._connection
        while (rest or connection.unsent) and not self._is_over:
            if connection.unsent:
                connection.send()
            elif connection.window:
                piece = rest[: min(connection.window, MAX_PAYLOAD_BYTES)]
                connection.send_stdin(piece)
                rest = rest[len(piece) :]
            if self._is_readable(waits=bool(connection.unsent or not connection.window)):
                self._receive()

    def control(self, content: Control) -> None:
        """Send a control frame."""
        self._connection.put_control(content)
        self.send(b"")

    def wait(self) -> dict[str, int]:
        """Return how the stream ended; what comes meanwhile is kept.

        Raises:
            BangerError: it ended with this error.
            Cancelled: it was closed before it ended.
        """
        while not self._is_over:
            self._receive()
        if not self._connection.ended:
            raise closed_error()
        self.exit = self._connection.require_exit()
        return self.exit

    @property
    def passed(self) -> int:
        """Bytes of output that have come, and of gaps."""
        return self._connection.passed

    @property
    def failure(self) -> BangerError | None:
        """With what it has ended, if that is known yet."""
        return self._connection.failure

    @property
    def untaken_bytes(self) -> int:
        """Bytes of input that were sent and that the daemon has not said to be taken."""
        return STDIN_WINDOW - self._connection.window

    @property
    def is_cut_off(self) -> bool:
        """Tell whether the connection was lost before the daemon read all that was sent."""
        return self._connection.is_cut_off or self._connection.unsent > 0

    def take_over(self, other: Stream) -> None:
        """Begin with what another stream has kept, which is closed."""
        other.close()
        self._kept, self._kept_bytes = other._kept, other._kept_bytes

    @property
    def _is_over(self) -> bool:
        return self._connection.ended or self._connection.fileno() < 0

    def _receive(self) -> None:
        for channel, data in self._connection.receive():
            self.take(channel, data)

    def _keep(self, channel: int, data: bytes) -> None:
        self._kept.append((channel, data))
        self._kept_bytes += len(data)
        if self._kept_bytes > OUTPUT_MAX_BYTES:
            raise GuestOutputTooBig(f"The VM sent more than {OUTPUT_MAX_BYTES >> 20} MiB.")

    def _is_readable(self, *, waits: bool) -> bool:
        """Tell whether something has come; wait until then, or until there is room to send."""
        if self._connection.has_unread:
            return True
        poller = select.poll()
        unsent = self._connection.unsent
        poller.register(self._connection, select.POLLIN | (select.POLLOUT if unsent else 0))
        return any(events & ~select.POLLOUT for _, events in poller.poll(None if waits else 0))
