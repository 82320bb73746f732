"""Send generated data over a stream while watching for the stream's end.

Only the poll may block: while the daemon grants no window or does not read, nothing is generated,
so the buffers are bounded (hazard H7).
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator

from banger.client.stream import ClientStream

PIECE_BYTES = 128 * 1024
TICK_MS = 100

Exit = dict[str, int]


def _ignore(*_: object) -> None:
    """Nobody wants to know."""


def upload(
    stream: ClientStream,
    chunks: Iterator[bytes],
    *,
    on_sent: Callable[[int], None] = _ignore,
    on_output: Callable[[int, bytes], None] = _ignore,
) -> Exit:
    """Send all chunks, then the end of file; return the exit when the stream has ended.

    `on_sent` gets the number of bytes sent since its last call, at least ten times a second;
    `on_output` what comes, with its channel.

    Raises:
        BangerError: the stream ended with this error, also before everything was sent.
    """
    rest: memoryview | None = memoryview(b"")
    while not stream.ended:
        sent = 0
        if rest is not None and not stream.unsent and stream.window:
            rest, sent = _put(stream, rest, chunks)
        if stream.unsent:
            stream.send()
        if _is_readable(stream, waits_for_room=rest is None or not stream.window):
            for channel, data in stream.receive():
                on_output(channel, data)
        on_sent(sent)
    return stream.require_exit()


def _put(
    stream: ClientStream, rest: memoryview, chunks: Iterator[bytes]
) -> tuple[memoryview | None, int]:
    """Send the next piece; return what is left of its chunk (None: all was sent), and its size."""
    if not rest:
        chunk = next(chunks, None)
        if chunk is None:
            stream.put_control({"eof": True})
            return None, 0
        rest = memoryview(chunk)
    piece = rest[: min(stream.window, PIECE_BYTES)]
    stream.send_stdin(piece)
    return rest[len(piece) :], len(piece)


def _is_readable(stream: ClientStream, *, waits_for_room: bool) -> bool:
    """Wait until there is something to do; tell whether the daemon has sent something."""
    poller = select.poll()
    poller.register(stream, select.POLLIN | (select.POLLOUT if stream.unsent else 0))
    must_wait = stream.unsent or waits_for_room
    if stream.has_unread:
        return True
    return any(events & ~select.POLLOUT for _, events in poller.poll(TICK_MS if must_wait else 0))
