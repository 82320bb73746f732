"""A handler's view of its request: the operation, the disconnect hook, the stream.

A handler is `async (call, params) -> result`: a verb, bound by `bindings`. The one of a `stream`
method calls `call.start_stream(result)` once, sends and receives through the returned `Stream`, and
returns the exit (`{"status": 0}`, `{"signal": 9}`), which becomes the last frame. An exception
becomes the error reply, or the last frame of a stream.

Touches the client's connection only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from banger.api.stream import (
    CONTROL,
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    STDIN,
    STDIN_WINDOW,
    Control,
    format_control,
    format_frame,
    parse_header,
)
from banger.engine.state.operations import Operation
from banger.errors import Cancelled, InvalidRequest

Exit = dict[str, int]
DONE: Exit = {"status": 0}
OnDisconnect = Callable[[], Awaitable[None]]


async def drain(writer: asyncio.StreamWriter) -> None:
    """Wait until the client has read enough of the write buffer.

    Raises:
        Cancelled: the client has disconnected.
    """
    try:
        await writer.drain()
    except ConnectionError as error:
        raise Cancelled("The client is gone.") from error


class Stream:
    """The daemon's end of a connection that carries frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._window = STDIN_WINDOW

    async def write(self, channel: int, data: bytes) -> None:
        """Send bytes; wait while the client does not read."""
        for start in range(0, len(data), MAX_PAYLOAD_BYTES):
            self._writer.write(format_frame(channel, data[start : start + MAX_PAYLOAD_BYTES]))
            await drain(self._writer)

    def end_output(self) -> None:
        """Tell the client that no more output comes."""
        self._writer.write(format_control({"eof": True}))

    def tell_gap(self, size_bytes: int) -> None:
        """Tell the client that so much output, which would come now, is no longer there."""
        self._writer.write(format_control({"gap": size_bytes}))

    def buffer_output(self, size_bytes: int) -> None:
        """Let `write` return while so much waits for the client, so that both go on at once."""
        self._writer.transport.set_write_buffer_limits(high=size_bytes)

    async def finish(self, content: Control) -> None:
        """Send the last frame."""
        self._writer.write(format_control(content))
        await drain(self._writer)

    def grant(self, size_bytes: int) -> None:
        """Allow the client to send `size_bytes` more of stdin."""
        self._window += size_bytes
        self._writer.write(format_control({"credit": size_bytes}))

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield the client's frames (channels 0 and 3) until it stops sending.

        Raises:
            InvalidRequest: a frame is not valid, or stdin exceeds the window.
        """
        while True:
            try:
                header = await self._reader.readexactly(HEADER_BYTES)
                channel, length = parse_header(header)
                untrusted_payload = await self._reader.readexactly(length)
            except asyncio.IncompleteReadError:
                return
            if channel == STDIN:
                self._window -= length
            if self._window < 0 or channel not in (STDIN, CONTROL):
                raise InvalidRequest("The client sent a frame that this stream does not allow.")
            if length:
                yield channel, untrusted_payload


class Call:
    """One request while its handler runs."""

    def __init__(
        self,
        operation: Operation,
        *,
        start_stream: Callable[[object], Awaitable[Stream]],
        on_disconnect: Callable[[OnDisconnect], None],
    ) -> None:
        self.operation = operation
        self._start_stream = start_stream
        self._on_disconnect = on_disconnect

    def on_disconnect(self, callback: OnDisconnect) -> None:
        """Run `callback` when this connection ends, for whatever reason.

        The callback is not run when the daemon stops: VMs outlive the daemon.
        """
        self._on_disconnect(callback)

    async def start_stream(self, result: object) -> Stream:
        """Send the reply and switch the connection to frames; `stream` methods only."""
        return await self._start_stream(result)


Handler = Callable[[Call, Any], Awaitable[object]]
"""The second argument is the method's params struct (`api.requests`)."""

Handlers = Mapping[str, Handler]

Before = Callable[[Operation], None]
"""Called with the operation of every request, before its handler."""
