"""Join a stream with our own standard descriptors, by one poll loop.

Nothing here may block but the poll: what cannot be written yet is kept, and its source
is not read meanwhile, so all buffers are bounded and both directions are held back
by whoever is slow (hazard H7).
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable

from banger.api.stream import STDERR, STDOUT
from banger.client.stream import ClientStream
from banger.errors import OperationFailed

HELD_BYTES = 1024 * 1024
"""Of output that waits for its reader; above it the daemon has to wait."""
BACKGROUND_CHECK_MS = 500

Exit = dict[str, int]


class Relay:
    """One program's input and output.

    `stdin` is None when there is none to pass on. `wakeup` is a descriptor that becomes
    readable when a signal has come; `on_wakeup` then gets what could be read from it.
    `end_key` is a byte of stdin that stands for its end.
    """

    def __init__(
        self,
        stream: ClientStream,
        *,
        stdin: int | None,
        end_key: bytes = b"",
        wakeup: int | None = None,
        on_wakeup: Callable[[bytes], None] | None = None,
    ) -> None:
        self._stream = stream
        self._stdin = stdin
        self._end_key = end_key
        self._wakeup = wakeup
        self._on_wakeup = on_wakeup
        self.end_key_typed = False
        self.stdin_ended = False
        """By itself: of a terminal that means that it has gone."""
        self._held = {STDOUT: bytearray(), STDERR: bytearray()}
        self._write_bytes = {fd: _write_size(fd) for fd in self._held}

    def run(self) -> Exit:
        """Return how the program ended, when all its output has been written.

        Raises:
            BangerError: as the stream's last frame says.
            OperationFailed: our output cannot be written.
        BrokenPipeError: nobody reads it any more.
        """
        while not self._stream.ended or any(self._held.values()):
            ready = self._poll()
            self._write(ready)
            if ready.get(self._stream.fileno(), 0) & ~select.POLLOUT or (
                self._stream.has_unread and not self._stream.ended
            ):
                for channel, data in self._stream.receive():
                    self._held[channel] += data
            if self._stdin is not None and self._stdin in ready:
                self._read_stdin(self._stdin)
            if self._stream.unsent:
                self._stream.send()
            if self._wakeup is not None and self._wakeup in ready and self._on_wakeup is not None:
                self._on_wakeup(os.read(self._wakeup, 64))
        return self._stream.require_exit()

    def _poll(self) -> dict[int, int]:
        """Wait until something can be done; return the descriptors and their events."""
        poller = select.poll()
        for fd, held in self._held.items():
            # Without output to write this still reports a reader that has gone.
            poller.register(fd, select.POLLOUT if held else 0)
        timeout_ms: int | None = None
        if not self._stream.ended:
            timeout_ms = self._poll_stream(poller)
        if self._wakeup is not None:
            poller.register(self._wakeup, select.POLLIN)
        return dict(poller.poll(timeout_ms))

    def _poll_stream(self, poller: select.poll) -> int | None:
        """Register the stream and stdin; return how long may be waited."""
        is_full = any(len(held) > HELD_BYTES for held in self._held.values())
        events = 0 if is_full else select.POLLIN
        poller.register(self._stream, events | (select.POLLOUT if self._stream.unsent else 0))
        timeout_ms = 0 if self._stream.has_unread else None
        if self._stdin is not None and self._stream.window > 0 and not self._stream.unsent:
            if _is_in_background(self._stdin):
                # Reading would stop the whole job (SIGTTIN).
                return BACKGROUND_CHECK_MS if timeout_ms is None else timeout_ms
            poller.register(self._stdin, select.POLLIN)
        return timeout_ms

    def _read_stdin(self, fd: int) -> None:
        try:
            data = os.read(fd, min(self._stream.window, 65536))
        except OSError:
            # A terminal that has gone away reads as an error; for the program it is the end.
            data = b""
        self.stdin_ended = not data
        if self._end_key and self._end_key in data:
            data = data[: data.index(self._end_key)]
            self.end_key_typed = True
        if data:
            self._stream.put_stdin(data)
        if self.stdin_ended or self.end_key_typed:
            self._stream.put_control({"eof": True})
            self._stdin = None

    def _write(self, ready: dict[int, int]) -> None:
        for fd, held in self._held.items():
            events = ready.get(fd, 0)
            if held and events & select.POLLOUT:
                del held[: _write(fd, held[: self._write_bytes[fd]])]
            elif events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                raise BrokenPipeError


def _write(fd: int, data: bytearray) -> int:
    """Return how much could be written.

    Raises:
        OperationFailed: nothing can be, as on a full disk.
    """
    try:
        return os.write(fd, data)
    except BlockingIOError:
        # Somebody else, with whom we share it, has made it non-blocking.
        return 0
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OperationFailed(f"The output cannot be written: {error.strerror}.") from error


def _write_size(fd: int) -> int:
    """Return how much can be written without blocking once poll says that some can.

    A pipe promises PIPE_BUF only. Making it non-blocking instead would
    change it for every other process that has it.
    """
    return select.PIPE_BUF if stat.S_ISFIFO(os.fstat(fd).st_mode) else 65536


def _is_in_background(fd: int) -> bool:
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:
        return False
