"""The daemon's methods for programs that run an asyncio loop, such as the ssh front.

A connection for each request. Never starts a daemon: whoever uses this is served by one that runs.
A stream calls back as frames arrive, without a task or a queue: whoever passes its data on stops
the transport while the receiver cannot take more, so memory is bounded by one read.

Owns the connections; a request in progress is cancelled, and a stream's program killed, by closing
its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol, cast

from banger.api import wire
from banger.api.stream import (
    CONTROL,
    STDIN,
    STDIN_WINDOW,
    Control,
    FrameReader,
    format_control,
    format_header,
    parse_control,
)
from banger.errors import BangerError, DaemonUnreachable, InvalidRequest
from banger.version import VERSION

REQUEST = 1
"""Number of the only request of a connection."""


class Receiver(Protocol):
    """What a stream calls back. All but `ended` only while the stream lives."""

    def output(self, channel: int, data: bytes) -> None:
        """Take data of channel 1 or 2."""

    def output_ended(self) -> None:
        """Note that no more output comes, though input is still taken."""

    def may_send(self) -> None:
        """Send more input: `room` was 0 and has grown."""

    def ended(self, exit_: dict[str, int], error: BangerError | None) -> None:
        """Note the end, told once: the program's exit, or the error."""


class DaemonStream(asyncio.Protocol):
    """A stream after its reply. `start` begins the callbacks."""

    def __init__(self) -> None:
        self.result: object = None
        self._reply: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._line = bytearray()
        self._frames: FrameReader | None = None
        self._receiver: Receiver | None = None
        self._held = b""
        self._ending: tuple[dict[str, int], BangerError | None] | None = None
        self._transport: asyncio.Transport | None = None
        self._window = STDIN_WINDOW
        self._is_congested = False
        self._is_over = False

    # --- called by the owner ---

    def start(self, receiver: Receiver) -> None:
        """Begin to call back, also with what has arrived since the reply."""
        self._receiver = receiver
        held, self._held = self._held, b""
        self.data_received(held)
        if self._ending is not None:
            receiver.ended(*self._ending)
        self.resume()

    @property
    def room(self) -> int:
        """Bytes of input that may be sent now."""
        return 0 if self._is_congested or self._is_over else max(self._window, 0)

    def send(self, data: bytes | memoryview) -> None:
        """Send input: at most `room` bytes."""
        self._window -= len(data)
        self._write(format_header(STDIN, len(data)))
        self._write(data)

    def control(self, content: Control) -> None:
        """Send a control frame, unless the stream is over."""
        self._write(format_control(content))

    def pause(self) -> None:
        """Call back with no output for now; frames that have arrived may still come."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """End the stream and what it stands for, without a callback. Idempotent."""
        self._is_over = True
        self._receiver = None
        if self._transport is not None:
            self._transport.abort()

    async def replied(self) -> None:
        """Wait for the reply.

        Raises:
            BangerError: the daemon's error.
        """
        try:
            self.result = await self._reply
        except BaseException:
            self.close()
            raise

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take the reply, then frames."""
        try:
            if self._frames is None:
                data = self._take_reply(data)
            if self._receiver is None:
                self._held += data
            elif self._frames is not None:
                self._take_frames(self._frames, data)
        except BangerError as error:
            self._end({}, error)

    def pause_writing(self) -> None:
        """Have no room."""
        self._is_congested = True

    def resume_writing(self) -> None:
        """Have room again."""
        self._is_congested = False
        self._tell_room()

    def connection_lost(self, _: Exception | None) -> None:
        """Tell whoever waits."""
        gone = DaemonUnreachable("The daemon went away.", hint="banger daemon logs", retryable=True)
        self._end({}, gone)

    # --- private ---

    def _take_reply(self, data: bytes) -> bytes:
        """Take lines up to the reply; return what follows it.

        Raises:
            InvalidRequest: a line is too long, or no JSON.
        """
        self._line += data
        while (end := self._line.find(b"\n")) >= 0:
            document = wire.parse_line(bytes(self._line[: end + 1]))
            del self._line[: end + 1]
            if "id" in document or "error" in document:
                self._accept_reply(document)
                rest, self._line = bytes(self._line), bytearray()
                return rest
        if len(self._line) > wire.MAX_LINE_BYTES:
            raise InvalidRequest("The daemon sent a line without an end.")
        return b""

    def _accept_reply(self, document: wire.Document) -> None:
        result = wire.require_result(document, REQUEST)
        self._frames = FrameReader()
        self.pause()
        if not self._reply.done():
            self._reply.set_result(result)

    def _take_frames(self, frames: FrameReader, data: bytes) -> None:
        for channel, payload in frames.feed(data):
            if channel == CONTROL:
                self._obey(parse_control(payload))
            elif self._receiver is not None:
                self._receiver.output(channel, payload)

    def _obey(self, content: Control) -> None:
        match content:
            case {"exit": dict(ended)}:
                self._end({name: n for name, n in ended.items() if isinstance(n, int)}, None)
            case {"credit": int(size_bytes)}:
                had_room = self.room > 0
                self._window += size_bytes
                if not had_room:
                    self._tell_room()
            case {"eof": True} if self._receiver is not None:
                self._receiver.output_ended()
            case {"error": error}:
                self._end({}, wire.error_from_wire(error))

    def _tell_room(self) -> None:
        if self.room > 0 and self._receiver is not None:
            self._receiver.may_send()

    def _end(self, exit_: dict[str, int], error: BangerError | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        if not self._reply.done():
            self._reply.set_exception(error or DaemonUnreachable("The daemon did not answer."))
        if self._receiver is None:
            self._ending = (exit_, error)
        else:
            self._receiver.ended(exit_, error)
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes | memoryview) -> None:
        if not self._is_over and self._transport is not None:
            self._transport.write(data)


async def open_stream(socket: str, method: str, params: wire.Document) -> DaemonStream:
    """Call a `stream` method of the daemon that listens on `socket`; `start` the result.

    Raises:
        BangerError: the daemon's error.
        DaemonUnreachable: no daemon listens there.
    """
    line = wire.format_request(REQUEST, method, params=params, version=VERSION)
    try:
        transport, stream = await asyncio.get_running_loop().create_unix_connection(
            DaemonStream, socket
        )
    except OSError as error:
        raise DaemonUnreachable(
            f"The daemon does not answer on {socket}: {error.strerror}.", retryable=True
        ) from error
    transport.write(line)
    await stream.replied()
    return stream


async def call(socket: str, method: str, params: wire.Document) -> object:
    """Return the result of a method of the daemon that listens on `socket`.

    Raises: as `open_stream`.
    """
    stream = await open_stream(socket, method, params)
    with contextlib.closing(stream):
        return stream.result
