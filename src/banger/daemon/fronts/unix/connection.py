"""One client's connection: it reads requests, and sends progress, replies and streams.

Requests run one after the other; a client may pipeline requests, bounded by the socket's buffers.
A disconnect cancels the request in progress, unless the method is declared detached.

Touches its socket. Takes no locks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from banger.api import wire
from banger.api.method import Method
from banger.daemon.calls import OnDisconnect, Stream, drain
from banger.daemon.dispatch import Dispatcher, Peer, parse_request
from banger.engine.state.operations import Note, Operation, Progress
from banger.errors import BangerError, InternalError, InvalidRequest, UnknownMethod

READ_LIMIT_BYTES = 256 * 1024
"""Read limit of asyncio, which buffers twice as much; `_read_line` assembles longer lines."""

UNREAD_LIMIT_BYTES = 256 * 1024
"""Unread output above which progress is dropped: a client that does not read costs no memory."""
REPORT_INTERVAL_S = 0.05


class Connection:
    """One client."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        dispatcher: Dispatcher,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._dispatcher = dispatcher
        self._answered_at = float("-inf")
        self._stream: Stream | None = None
        self.on_disconnect: list[OnDisconnect] = []
        """Callbacks to run after the connection has ended."""
        self.running: Method | None = None
        self.closing = False
        """True: end after the request in progress."""

    async def serve(self) -> None:
        """Answer requests until the client disconnects, `closing` is set, or a stream has ended."""
        while not self.closing and self._stream is None:
            try:
                line = await self._read_line()
            except InvalidRequest as error:
                # The start of the next line is unknown: send the error, then disconnect.
                await self._send(wire.format_error(None, error, rpc_code=wire.PARSE_ERROR))
                return
            if line is None:
                return
            if line.strip():
                await self._answer(line)
        self.say_goodbye()

    def say_goodbye(self) -> None:
        """On an idle connection, announce shutdown so that the client can resend elsewhere."""
        if self.running is None and self._stream is None and not self._writer.is_closing():
            self._writer.write(wire.format_notification(wire.GOODBYE, {}))

    async def _read_line(self) -> bytes | None:
        """Return the next line, or None at end of file."""
        parts: list[bytes] = []
        size = 0
        while True:
            try:
                parts.append(await self._reader.readuntil(b"\n"))
                return b"".join(parts)
            except asyncio.IncompleteReadError:
                return None
            except asyncio.LimitOverrunError as overrun:
                parts.append(await self._reader.readexactly(overrun.consumed))
                size += len(parts[-1])
            if size > wire.MAX_LINE_BYTES:
                raise InvalidRequest("A request is longer than 8 MiB.")

    async def _answer(self, line: bytes) -> None:
        """Run one request and send its reply."""
        try:
            document = wire.parse_line(line)
        except InvalidRequest as error:
            await self._send(wire.format_error(None, error, rpc_code=wire.PARSE_ERROR))
            return
        number = document.get("id")
        try:
            request = parse_request(document)
        except InvalidRequest as error:
            code = wire.UNKNOWN_METHOD if isinstance(error, UnknownMethod) else wire.BAD_REQUEST
            await self._send(wire.format_error(number, error, rpc_code=code))
            return
        self.running = request.method
        try:
            outcome = await self._dispatcher.run(request, self._as_peer(number, request.method))
        finally:
            self.running = None
        await self._send_last(number, outcome)
        self._answered_at = time.monotonic()

    def _as_peer(self, number: object, method: Method) -> Peer:
        async def start_stream(result: object) -> Stream:
            assert method.stream and self._stream is None
            await self._send(wire.format_reply(number, msgspec.to_builtins(result)))
            self._stream = Stream(self._reader, self._writer)
            return self._stream

        return Peer(
            report=_ReportSender(self._send_report),
            start_stream=start_stream,
            on_disconnect=self.on_disconnect.append,
            since_answer_s=time.monotonic() - self._answered_at,
        )

    async def _send_last(self, number: object, outcome: object) -> None:
        """Send the reply, or a stream's last frame."""
        if self._stream is not None:
            if isinstance(outcome, BangerError):
                await self._stream.finish({"error": wire.error_to_wire(outcome)})
            else:
                await self._stream.finish({"exit": outcome})
        elif isinstance(outcome, BangerError):
            await self._send(wire.format_error(number, outcome))
        else:
            await self._send(_format_result(number, outcome))

    async def _send(self, line: bytes) -> None:
        self._writer.write(line)
        await drain(self._writer)

    def _send_report(self, line: bytes) -> None:
        # After the reply or within a stream, the client would misread a notification.
        if self.running is None or self._stream is not None or self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() < UNREAD_LIMIT_BYTES:
            self._writer.write(line)


class _ReportSender:
    """Turns one operation's reports into notifications, at most one per `REPORT_INTERVAL_S`.

    Notes, a stage's first report and its completion are always sent.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._stage = ""
        self._sent_at = 0.0

    def __call__(self, operation: Operation, item: Progress | Note) -> None:
        if isinstance(item, Progress):
            now = time.monotonic()
            is_last = item.done is not None and item.done == item.total
            same = item.stage == self._stage and not is_last
            if same and now - self._sent_at < REPORT_INTERVAL_S:
                return
            self._stage, self._sent_at = item.stage, now
        kind = "progress" if isinstance(item, Progress) else "note"
        content = {"operation_id": operation.id, **msgspec.to_builtins(item)}
        if not content.get("parts"):
            content.pop("parts", None)
        self._send(wire.format_notification(kind, content))


def _format_result(number: object, result: object) -> bytes:
    try:
        return _format_reply(number, result)
    except InvalidRequest as error:
        return wire.format_error(number, InternalError(f"The result is too long. {error.message}"))


def _format_reply(number: object, result: object) -> bytes:
    try:
        result_json = msgspec.json.encode(result)
    except UnicodeEncodeError:
        # A name is not UTF-8: only the standard encoder, which is slower, accepts surrogates.
        return wire.format_reply(number, msgspec.to_builtins(result))
    return wire.format_encoded_reply(number, result_json)
