"""The daemon's methods for programs that run an asyncio loop, such as the ssh front.

A connection for each request. `open_stream` and `call` never start a daemon: whoever uses them is
served by one that runs.
A stream calls back as frames arrive, without a task or a queue: whoever passes its data on stops
the transport while the receiver cannot take more, so memory is bounded by one read.

Owns the connections; a request in progress is cancelled, and a stream's program killed, by closing
its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol, cast

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
from banger.client.connect import require_own_peer
from banger.client.conversation import CLOSE, CONNECT, RECEIVE, SEND, Conversation, NotBegun
from banger.errors import BangerError, DaemonUnreachable, OutcomeUnknown

if TYPE_CHECKING:
    from banger.client.conversation import OnEvent

READ_BYTES = 64 * 1024
FULL_S = 0.01
"""Pause while more clients connect than the daemon has accepted."""


class Receiver(Protocol):
    """What a stream calls back. All but `ended` only while the stream lives."""

    def output(self, channel: int, data: bytes) -> None:
        """Take data of channel 1 or 2."""

    def output_ended(self) -> None:
        """Note that no more output comes, though input is still taken."""

    def may_send(self) -> None:
        """Send more input: `room` was 0 and has grown."""

    def ended(self, exit_: dict[str, int], error: BangerError | None) -> None:
        """Note the end; called once, with the program's exit or the error."""


class DaemonStream(asyncio.Protocol):
    """A stream after its reply. `start` begins the callbacks."""

    def __init__(self) -> None:
        self.result: object = None
        self.lost_bytes = 0
        """Bytes of output that are kept no more (`session.attach`)."""
        self._arrived: asyncio.Future[None] | None = None
        self._frames: FrameReader | None = None
        self._receiver: Receiver | None = None
        self._held = b""
        self._ending: tuple[dict[str, int], BangerError | None] | None = None
        self._transport: asyncio.Transport | None = None
        self._window = STDIN_WINDOW
        self._is_congested = False
        self._is_over = False
        self._is_reset = False
        self._has_dropped = False

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

    @property
    def untaken_bytes(self) -> int:
        """Bytes of input that were sent and that the daemon has not said to be taken."""
        return STDIN_WINDOW - self._window

    @property
    def is_cut_off(self) -> bool:
        """Tell whether the connection was lost before the daemon read all that was sent."""
        return self._is_reset or self._has_dropped

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

    # --- called until the reply ---

    def send_line(self, line: bytes) -> None:
        """Send a request."""
        self._write(line)

    async def receive(self) -> bytes:
        """Return what has come; b"" at the end.

        Raises:
            NotBegun: the connection was reset, so the daemon had not read everything.
        """
        while not self._held and not self._is_over:
            self._arrived = asyncio.get_running_loop().create_future()
            self.resume()
            await self._arrived
        if self._is_reset and not self._held:
            raise NotBegun
        data, self._held = self._held, b""
        return data

    def take_result(self, result: object, *, unread: bytes) -> None:
        """Note the reply; what follows are frames, of which `unread` has come already."""
        self.result, self._held, self._frames = result, unread + self._held, FrameReader()

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take what has come: kept until it is asked for, then frames for the receiver."""
        if self._receiver is None or self._frames is None:
            self._held += data
            # The end is not to be noticed before what came ahead of it was looked at.
            self.pause()
            self._tell_arrived()
            return
        try:
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

    def connection_lost(self, error: Exception | None) -> None:
        """Wake those who wait."""
        self._is_reset = isinstance(error, ConnectionError)
        if self._is_reset and self._frames is not None:
            self._take_rest()
        self._end({}, OutcomeUnknown("The daemon went away.", hint="banger daemon logs"))
        self._tell_arrived()

    # --- private ---

    def _take_rest(self) -> None:
        """Take what the daemon sent before it closed a stream to which we still wrote.

        At a write that fails the transport gives up, with the frames unread that tell of the end.
        """
        assert self._transport is not None
        fd = self._transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):  # reset: there is no more
            while not self._is_over and (data := os.read(fd, READ_BYTES)):
                self.data_received(data)

    def _tell_arrived(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

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
            case {"gap": int(size_bytes)}:
                self.lost_bytes += size_bytes
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
        if self._receiver is None:
            self._ending = (exit_, error)
        else:
            self._receiver.ended(exit_, error)
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes | memoryview) -> None:
        if self._is_over or self._transport is None or self._transport.is_closing():
            self._has_dropped = True
        else:
            self._transport.write(data)


Connect = Callable[[], Awaitable[DaemonStream]]


async def open_stream(path: str, method: str, params: Mapping[str, object]) -> DaemonStream:
    """Call a method of the daemon that listens on `path`, and keep the connection.

    The result is in `result`; of a `stream` method, `start` the rest.

    Raises:
        BangerError: the daemon's error.
        DaemonUnreachable: no daemon listens there.
        OutcomeUnknown: the connection was lost after the daemon may have begun.
    """

    async def connect() -> DaemonStream:
        return await connect_stream(path)

    conversation = Conversation(replaces=False, environ=None)
    return await converse(conversation, connect, method, params)


async def call(path: str, method: str, params: Mapping[str, object]) -> object:
    """Return the result of a method of the daemon that listens on `path`.

    Raises: as `open_stream`.
    """
    stream = await open_stream(path, method, params)
    with contextlib.closing(stream):
        return stream.result


async def connect_stream(path: str) -> DaemonStream:
    """Connect to the daemon that listens on `path`.

    Raises:
        DaemonUnreachable: none does.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.setblocking(False)
    try:
        while not _is_connected(sock, path):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(FULL_S)
        require_own_peer(sock, path)
    except OSError as error:
        sock.close()
        raise DaemonUnreachable(
            f"The daemon does not answer on {path}: {error.strerror}.", retryable=True
        ) from error
    except BaseException:
        sock.close()
        raise
    return await adopt_socket(sock)


def _is_connected(sock: socket.socket, path: str) -> bool:
    """Connect; False if the daemon's queue is full, which asyncio would take for connected."""
    try:
        sock.connect(path)
    except BlockingIOError:
        return False
    return True


async def adopt_socket(sock: socket.socket) -> DaemonStream:
    """Return a connection by a socket that is connected to a daemon."""
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_unix_connection(DaemonStream, sock=sock)
    return stream


async def converse(
    conversation: Conversation,
    connect: Connect,
    method: str,
    params: Mapping[str, object],
    on_event: OnEvent | None = None,
) -> DaemonStream:
    """Talk about one request by connections that `connect` opens; return the last of them.

    Raises: as `open_stream`, and what `connect` raises.
    """
    talk = conversation.request(method, params, on_event)
    stream: DaemonStream | None = None
    try:
        step, line = next(talk)
        while True:
            try:
                if step == CONNECT:
                    stream = await connect()
                data = await _take(step, line, stream)
            except NotBegun as not_begun:
                step, line = talk.throw(not_begun)
            else:
                step, line = talk.send(data)
    except StopIteration as end:
        assert stream is not None
        stream.take_result(end.value, unread=conversation.end_connection())
        return stream
    except BaseException:
        if stream is not None:
            stream.close()
        raise


async def _take(step: str, line: bytes, stream: DaemonStream | None) -> bytes:
    """Take a step of a talk. Raises: as `DaemonStream.receive`."""
    if stream is not None:
        if step == SEND:
            stream.send_line(line)
        elif step == RECEIVE:
            return await stream.receive()
        elif step == CLOSE:
            stream.close()
    return b""
