"""Connect a stream to our own standard descriptors in one poll loop.

Only the poll may block: data that cannot be written yet is buffered, and its source is not read
meanwhile, so all buffers are bounded and each direction has backpressure (hazard H7).
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Callable, Iterator

from banger.api.stream import STDERR, STDOUT
from banger.client.stream import SIGNALS_MS, ClientStream
from banger.errors import OperationFailed

HELD_BYTES = 1024 * 1024
"""Limit of buffered output; above the limit the stream is not read and the daemon waits."""
WRITE_BYTES = 65536
"""Most bytes written at once: a pipe's usual size."""

Exit = dict[str, int]


class Relay:
    """One program's input and output.

    `stdin`: descriptor to forward, or None. `wakeup`: descriptor that becomes readable after a
    signal; its bytes are passed to `on_wakeup`. `end_keys`: what ends stdin when it is typed;
    then `on_end_keys` is called, which may raise.
    """

    def __init__(
        self,
        stream: ClientStream,
        *,
        stdin: int | None,
        end_keys: bytes = b"",
        on_end_keys: Callable[[], None] | None = None,
        wakeup: int | None = None,
        on_wakeup: Callable[[bytes], None] | None = None,
    ) -> None:
        self._stream = stream
        self._stdin = stdin
        self._keys = EndKeys(end_keys)
        self._on_end_keys = on_end_keys
        self._wakeup = wakeup
        self._on_wakeup = on_wakeup
        self.end_keys_typed = False
        self.stdin_ended = False
        """End of file, not `end_keys`; for a terminal, end of file means a hangup."""
        self._held = {STDOUT: bytearray(), STDERR: bytearray()}
        self._writers = {fd: _find_writer(fd) for fd in self._held}

    def run(self) -> Exit:
        """Relay until the program has ended and all output is written; return the exit.

        Raises:
            BangerError: the error of the stream's last frame.
            OperationFailed: our output cannot be written.
            BrokenPipeError: the reader of our output has closed the pipe.
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
        """Wait for an event; return the descriptors that are ready, with their events."""
        poller = select.poll()
        for fd, held in self._held.items():
            # With no events requested, poll still reports that the reader has closed the pipe.
            poller.register(fd, select.POLLOUT if held else 0)
        timeout_ms = SIGNALS_MS if self._stream.ended else self._poll_stream(poller)
        if self._wakeup is not None:
            poller.register(self._wakeup, select.POLLIN)
        return dict(poller.poll(timeout_ms))

    def _poll_stream(self, poller: select.poll) -> int:
        """Register the stream and stdin; return the timeout of the poll."""
        is_full = any(len(held) > HELD_BYTES for held in self._held.values())
        events = 0 if is_full else select.POLLIN
        poller.register(self._stream, events | (select.POLLOUT if self._stream.unsent else 0))
        takes_stdin = self._may_send > 0 and not self._stream.unsent
        # Reading from the background would stop the whole job (SIGTTIN).
        if self._stdin is not None and takes_stdin and not _is_in_background(self._stdin):
            poller.register(self._stdin, select.POLLIN)
        return 0 if self._stream.has_unread else SIGNALS_MS

    @property
    def _may_send(self) -> int:
        """Bytes that may be read from stdin: with those that are held, within the window."""
        return self._stream.window - self._keys.held_bytes

    def _read_stdin(self, fd: int) -> None:
        try:
            data = os.read(fd, min(self._may_send, 65536))
        except OSError:
            # Reading a terminal after a hangup fails; send the program an end of file.
            data = b""
        self.stdin_ended = not data
        data, self.end_keys_typed = self._keys.filter(data)
        if data:
            self._stream.put_stdin(data)
        if self.stdin_ended or self.end_keys_typed:
            self._stream.put_control({"eof": True})
            self._stdin = None
        if self.end_keys_typed and self._on_end_keys is not None:
            self._stream.send()  # what was typed before the keys
            self._on_end_keys()

    def _write(self, ready: dict[int, int]) -> None:
        for fd, held in self._held.items():
            events = ready.get(fd, 0)
            if held and events & select.POLLOUT:
                del held[: _write(self._writers[fd], fd, held)]
            elif events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                raise BrokenPipeError


class EndKeys:
    """Finds a sequence of keys in what is typed, however the reads cut it.

    A beginning of the sequence is held back until the next key says whether it goes on.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    @property
    def held_bytes(self) -> int:
        """How many bytes are held back."""
        return len(self._held)

    def filter(self, typed: bytes) -> tuple[bytes, bool]:
        """Return what goes to the program, and whether the sequence was typed; b"": the end."""
        data, held = self._held + typed, b""
        if self._keys and self._keys in data:
            return data[: data.index(self._keys)], True
        if typed:
            held = next((k for k in self._beginnings() if data.endswith(k)), b"")
        self._held = held
        return data.removesuffix(held) if held else data, False

    def _beginnings(self) -> Iterator[bytes]:
        return (self._keys[:size] for size in range(len(self._keys) - 1, 0, -1))


Writer = Callable[[int, bytearray], int]


def _write(write: Writer, fd: int, data: bytearray) -> int:
    """Write without waiting; return the number of bytes written.

    Raises:
        OperationFailed: the write fails, as on a full disk.
    """
    try:
        return write(fd, data[:WRITE_BYTES])
    except BlockingIOError:
        # Another process has filled the pipe, or made the descriptor that it shares non-blocking.
        return 0
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OperationFailed(f"The output cannot be written: {error.strerror}.") from error


def _find_writer(fd: int) -> Writer:
    return _write_pipe if stat.S_ISFIFO(os.fstat(fd).st_mode) else os.write


def _write_pipe(fd: int, data: bytearray) -> int:
    """Write what the pipe takes at once.

    After POLLOUT only PIPE_BUF bytes are sure to be taken. Setting O_NONBLOCK would affect every
    other process that shares the descriptor; older kernels have no RWF_NOWAIT for pipes.
    """
    try:
        return os.pwritev(fd, (data,), -1, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return os.write(fd, data[: select.PIPE_BUF])


def _is_in_background(fd: int) -> bool:
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:
        return False
