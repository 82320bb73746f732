"""Received but unread data of one stream (guest protocol, section 4).

Pure. Each channel has a window: the guest may send 262144 bytes, and more only as
the host grants the bytes that it has taken. So a stream's memory is bounded whatever
the guest sends (hazard E2), and a slow reader blocks only its own stream. Small pieces
are joined on arrival: a window full of one-byte frames would otherwise cost a hundred
times its size in objects. The order of arrival is kept within each channel always,
and between channels while few pieces wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from banger.errors import GuestProtocolError

WINDOW = 262144
"""Bytes that may be sent on a channel before the first grant."""

GRANT_STEP = 65536
"""Taken bytes are granted in steps of this size: one small frame for every two full frames."""

_JOIN_BELOW = 4096
_JOINED_MOST = 32768
_FEW_PIECES = 256


class Inbox:
    """Received data of a stream's channels, in order of arrival, within their windows."""

    def __init__(self, channels: Iterable[int]) -> None:
        self._left = dict.fromkeys(channels, WINDOW)
        self._taken = dict.fromkeys(self._left, 0)
        self._ended: set[int] = set()
        self._queue: deque[tuple[int, bytes | bytearray]] = deque()
        self._newest: dict[int, bytes | bytearray] = {}

    def put(self, channel: int, untrusted_data: bytes) -> None:
        """Add data that the guest sent on a channel.

        Raises:
            GuestProtocolError: no such channel, or it has ended, or its window is exceeded.
        """
        self._require_open(channel)
        if len(untrusted_data) > self._left[channel]:
            raise GuestProtocolError("The guest sent more data than it was allowed to.")
        self._left[channel] -= len(untrusted_data)
        if not untrusted_data:
            return
        newest = self._joinable(channel) if len(untrusted_data) < _JOIN_BELOW else None
        if newest is not None:
            newest += untrusted_data
            return
        small = len(untrusted_data) < _JOIN_BELOW
        piece = bytearray(untrusted_data) if small else untrusted_data
        self._queue.append((channel, piece))
        self._newest[channel] = piece

    def end(self, channel: int) -> None:
        """Record the end of a channel."""
        self._require_open(channel)
        self._ended.add(channel)

    def take(self) -> tuple[int, bytes] | None:
        """Return the oldest data and its channel, or None."""
        if not self._queue:
            return None
        channel, data = self._queue.popleft()
        if self._newest.get(channel) is data:
            del self._newest[channel]
        self._taken[channel] += len(data)
        return channel, bytes(data)

    def claim_grant(self, channel: int) -> int:
        """Return how many bytes to grant the guest now (often 0), and count them as granted."""
        size = self._taken[channel]
        if size < GRANT_STEP or channel in self._ended:
            return 0
        self._taken[channel] = 0
        self._left[channel] += size
        return size

    @property
    def has_data(self) -> bool:
        return bool(self._queue)

    @property
    def all_ended(self) -> bool:
        """Whether every channel has ended and all data was taken."""
        return not self._queue and len(self._ended) == len(self._left)

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

    def _require_open(self, channel: int) -> None:
        if channel not in self._left or channel in self._ended:
            raise GuestProtocolError(f"The guest sent on channel {channel}, which is not open.")
