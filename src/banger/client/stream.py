"""The client's end of a connection that carries frames (`api.stream`)."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator

from banger.api.stream import (
    CONTROL,
    STDIN,
    STDIN_WINDOW,
    Control,
    FrameReader,
    format_control,
    format_frame,
    format_header,
    parse_control,
)
from banger.api.wire import error_from_wire
from banger.errors import BangerError, OutcomeUnknown

READ_BYTES = 256 * 1024
SIGNALS_MS = 500
"""How often a wait looks for signals: Python has not seen one that came just before the wait."""


class ClientStream:
    """A stream. Iterate over the output, or call `receive` and `send` in a poll loop."""

    def __init__(self, sock: socket.socket, result: object, *, unread: bytes = b"") -> None:
        self.result = result
        self.ended = False
        """True: the last frame has been received, or the connection was lost."""
        self.window = STDIN_WINDOW
        """Bytes of stdin that may be sent now."""
        self.passed = 0
        """Bytes of output that have come, and of gaps (`session.attach`)."""
        self.on_gap: Callable[[int], None] | None = None
        """Called with the number of bytes of output that are lost at this place."""
        self.is_cut_off = False
        """True: the connection was lost before the daemon read all that was sent."""
        self._exit: dict[str, int] = {}
        self.failure: BangerError | None = None
        """With what it ended, unless by an exit."""
        self._socket = sock
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)
        self._frames = FrameReader()
        self._unread = unread
        self._unsent = bytearray()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield (channel, data) of the output until the stream ends.

        Raises:
            BangerError: the stream ended with this error.
        """
        while not self.ended:
            yield from self.receive()
        self.require_exit()

    def require_exit(self) -> dict[str, int]:
        """Return the program's exit: `status` or `signal`. Call only after `ended`.

        Raises:
            BangerError: the stream ended with this error.
        """
        if self.failure is not None:
            raise self.failure
        return self._exit

    def fileno(self) -> int:
        """Return the socket's descriptor, to poll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection, which kills the program if still running."""
        self._socket.close()

    def receive(self) -> list[tuple[int, bytes]]:
        """Return available output; block until there is some."""
        data, self._unread = self._unread, b""
        if not data:
            while not self._poller.poll(SIGNALS_MS):
                pass
            try:
                data = self._socket.recv(READ_BYTES)
            except ConnectionResetError:
                self.is_cut_off, data = True, b""
            if not data:
                self._end(
                    OutcomeUnknown(
                        "The daemon went away in the middle of a stream.", hint="banger daemon logs"
                    )
                )
        output = []
        for channel, payload in self._frames.feed(data):
            if channel == CONTROL:
                self._obey(parse_control(payload))
            else:
                self.passed += len(payload)
                output.append((channel, payload))
        return output

    @property
    def has_unread(self) -> bool:
        """True: `receive` returns at once, even if the socket is not readable."""
        return bool(self._unread)

    @property
    def may_have_lost_input(self) -> bool:
        """Tell, of a lost connection, whether the daemon may not have taken all that we sent."""
        return self.is_cut_off or self.window < STDIN_WINDOW

    @property
    def unsent(self) -> int:
        """Number of queued bytes; poll for writing, then call `send`."""
        return len(self._unsent)

    def put_stdin(self, data: bytes) -> None:
        """Queue stdin: at most `window` bytes."""
        self.window -= len(data)
        self._unsent += format_frame(STDIN, data)

    def send_stdin(self, data: memoryview) -> None:
        """Send stdin without copying what the socket accepts now; nothing may be unsent."""
        self.window -= len(data)
        header = format_header(STDIN, len(data))
        try:
            sent = self._socket.sendmsg([header, data], (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except (BrokenPipeError, ConnectionResetError):
            return  # as in `send`
        if sent < len(header) + len(data):
            self._unsent += (header + data)[sent:]

    def put_control(self, content: Control) -> None:
        """Queue a control frame."""
        self._unsent += format_control(content)

    def send(self) -> None:
        """Send as much as the socket accepts now."""
        try:
            sent = self._socket.send(self._unsent, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            # The daemon has closed the stream; its last frame gives the reason.
            self.is_cut_off, sent = True, len(self._unsent)
        del self._unsent[:sent]

    def _obey(self, content: Control) -> None:
        match content:
            case {"exit": dict(ended)}:
                self._exit = {
                    name: value for name, value in ended.items() if isinstance(value, int)
                }
                self._end(None)
            case {"credit": int(size_bytes)}:
                self.window += size_bytes
            case {"gap": int(size_bytes)}:
                self.passed += size_bytes
                if self.on_gap is not None:
                    self.on_gap(size_bytes)
            case {"error": error}:
                self._end(error_from_wire(error))

    def _end(self, failure: BangerError | None) -> None:
        if not self.ended:
            self.ended, self.failure = True, failure
