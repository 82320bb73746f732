"""Received but unread data of one stream (guest protocol, section 4).

Pure. Each channel has a window: the guest may send so many bytes, and more only as
the host grants the bytes that it has taken. So a stream's memory is bounded whatever
the guest sends (hazard E2), and a slow reader blocks only its own stream.

With version 2 a connection has up to 2048 streams, so a window is small until its channel
carries bulk, and doubles with each grant then, up to `WINDOW`, as long as the connection's
pool lasts. What a pool can lend plus the first windows bounds the memory of a connection;
a stream without room in the pool goes on with a small window.

Small pieces are joined on arrival: a window full of one-byte frames would otherwise cost a
hundred times its size in objects. The order of arrival is kept within each channel always, and
between channels while few pieces wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from banger.errors import GuestProtocolError

WINDOW = 262144
"""Largest window of a channel, and the first of version 1."""

FIRST_WINDOW = 32768
"""Bytes that may be sent on a channel before the first grant, from version 2 on."""

GRANT_STEP = 65536
"""Taken bytes are granted in steps of this size, or of half of a smaller window: one small frame
for every two full frames."""

BULK_BYTES = 8192
"""Data of this size comes from a sender that has more: its window may grow."""

POOL_BYTES = 32 * 1024 * 1024
"""What the windows of one connection may have beyond the first ones, together."""

_JOIN_BELOW = 4096
_JOINED_MOST = 32768
_FEW_PIECES = 256


Sink = Callable[[bytes | memoryview], int]
"""Takes data at once and returns how many bytes of it; the rest waits."""


class WindowPool:
    """What the channels of one connection may borrow to enlarge their windows."""

    def __init__(self, size: int) -> None:
        self.left = size

    def borrow(self, size: int) -> bool:
        """Take `size` bytes if there are so many."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def give_back(self, size: int) -> None:
        """Return what was borrowed."""
        self.left += size


@dataclass(slots=True)
class _Channel:
    """The bytes of a window are under way (`left` to the guest), wait here, or are `taken`."""

    window: int
    left: int
    taken: int = 0
    is_bulk: bool = False
    has_ended: bool = False


class Inbox:
    """Received data of a stream's channels, in order of arrival, within their windows."""

    def __init__(self, channels: Iterable[int], *, window: int, pool: WindowPool) -> None:
        self._channels = {channel: _Channel(window, left=window) for channel in channels}
        self._pool = pool
        self._borrowed = 0
        self._queue: deque[tuple[int, bytes | bytearray]] = deque()
        self._newest: dict[int, bytes | bytearray] = {}

    def put(
        self, channel: int, untrusted_data: bytes | memoryview, *, sink: Sink | None = None
    ) -> None:
        """Add data that the guest sent on a channel; first offer it to `sink` if no other waits.

        Raises:
            GuestProtocolError: no such channel, or it has ended, or its window is exceeded.
        """
        state = self._get_open(channel)
        if len(untrusted_data) > state.left:
            raise GuestProtocolError("The guest sent more data than it was allowed to.")
        if not untrusted_data:
            return
        state.left -= len(untrusted_data)
        state.is_bulk = len(untrusted_data) >= BULK_BYTES
        passed = sink(untrusted_data) if sink is not None and not self._queue else 0
        state.taken += passed
        if untrusted_rest := untrusted_data[passed:]:
            self._keep(channel, untrusted_rest)

    def _keep(self, channel: int, untrusted_data: bytes | memoryview) -> None:
        newest = self._joinable(channel) if len(untrusted_data) < _JOIN_BELOW else None
        if newest is not None:
            newest += untrusted_data
            return
        small = len(untrusted_data) < _JOIN_BELOW
        piece = bytearray(untrusted_data) if small else bytes(untrusted_data)
        self._queue.append((channel, piece))
        self._newest[channel] = piece

    def end(self, channel: int) -> None:
        """Record the end of a channel."""
        self._get_open(channel).has_ended = True

    def take(self) -> tuple[int, bytes] | None:
        """Return the oldest data and its channel, or None."""
        if not self._queue:
            return None
        channel, data = self._queue.popleft()
        if self._newest.get(channel) is data:
            del self._newest[channel]
        self._channels[channel].taken += len(data)
        return channel, bytes(data)

    def claim_grant(self, channel: int) -> int:
        """Return how many bytes to grant the guest now (often 0), and count them as granted."""
        state = self._channels[channel]
        if state.taken < min(GRANT_STEP, state.window // 2) or state.has_ended:
            return 0
        size = state.taken + self._enlarge(state)
        state.taken = 0
        state.left += size
        return size

    @property
    def has_data(self) -> bool:
        return bool(self._queue)

    @property
    def all_ended(self) -> bool:
        """Whether every channel has ended and all data was taken."""
        return not self._queue and all(each.has_ended for each in self._channels.values())

    def give_back(self) -> None:
        """Return what was borrowed to the pool: nothing more will be granted. Idempotent."""
        self._pool.give_back(self._borrowed)
        self._borrowed = 0

    def clear(self) -> None:
        """Drop everything."""
        self._queue.clear()
        self._newest.clear()

    def _joinable(self, channel: int) -> bytearray | None:
        """Return the channel's newest piece if small data may be appended to it."""
        newest = self._newest.get(channel)
        if not isinstance(newest, bytearray) or len(newest) >= _JOINED_MOST:
            return None
        is_last = self._queue[-1][1] is newest
        return newest if is_last or len(self._queue) >= _FEW_PIECES else None

    def _enlarge(self, state: _Channel) -> int:
        """Double the window, if that helps and the pool has so much; return by how much."""
        more = state.window
        if not state.is_bulk or more >= WINDOW or not self._pool.borrow(more):
            return 0
        self._borrowed += more
        state.window += more
        return more

    def _get_open(self, channel: int) -> _Channel:
        state = self._channels.get(channel)
        if state is None or state.has_ended:
            raise GuestProtocolError(f"The guest sent on channel {channel}, which is not open.")
        return state
