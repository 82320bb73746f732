"""What of the agent's protocol the stand-in answers itself (docs/guest-protocol.md).

The agent is a process of this host: it has no machine to boot, to name or to flush, and this
host's listeners are not the guest's. These requests are answered as done, or, for the
listeners, with silence; everything else is the agent's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = struct.Struct("<BBBBII")
"""Type, channel, flags, zero, stream, length."""
END = b"\xe5"
OPEN, RESULT = 2, 8
MORE = 1
BOOT, IDENTITY, SYNC, LISTENERS = 2, 3, 8, 11
DONE = (BOOT, IDENTITY, SYNC)


class Splitter:
    """Cuts a stream into its frames, and the zeros between them."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what is whole."""
        self._rest += data
        while size := self._next_size():
            yield bytes(self._rest[:size])
            del self._rest[:size]

    def _next_size(self) -> int:
        if not self._rest or not self._rest[0]:
            return len(self._rest) - len(self._rest.lstrip(b"\0"))
        if len(self._rest) < HEADER.size:
            return 0
        size = HEADER.size + HEADER.unpack_from(self._rest)[-1] + len(END)
        return size if len(self._rest) >= size else 0


class Proxy:
    """Tells what becomes of each frame of the host."""

    def __init__(self) -> None:
        self._taken: dict[int, int] = {}
        """Streams of requests that the agent does not get, and their kinds."""

    def answer(self, frame: bytes) -> bytes | None:
        """Return what the host is answered at once; None: the frame is for the agent."""
        if not frame[0]:
            return None
        kind, _, flags, _, stream, _ = HEADER.unpack_from(frame)
        if kind == OPEN and stream not in self._taken and frame[HEADER.size] in (*DONE, LISTENERS):
            self._taken[stream] = frame[HEADER.size]
        if stream not in self._taken:
            return None
        is_done = kind == OPEN and not flags & MORE and self._taken[stream] in DONE
        return HEADER.pack(RESULT, 0, 0, 0, stream, 0) + END if is_done else b""
