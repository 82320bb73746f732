"""One client's connection: requests, their progress, their replies.

Requests run one after the other; a client may pipeline requests, bounded by the socket's buffers.
A disconnect cancels the request in progress, unless the method is declared detached. Every
exception becomes an error reply here: this module is the request boundary, the only place in the
daemon that catches everything.

Touches its socket, and `reports` after a bug. Takes no locks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from banger.api import wire
from banger.api.method import Method
from banger.daemon.calls import Before, Call, Handlers, OnDisconnect, Stream, drain
from banger.daemon.envelope import check_caller, check_envelope, check_params
from banger.daemon.fairness import Turns
from banger.engine.state.operations import (
    OPERATION_ID_BYTES,
    Note,
    Operation,
    Progress,
    current_caller,
    current_operation,
    format_operation_id,
)
from banger.engine.state.running import OperationTable
from banger.errors import (
    BangerError,
    Cancelled,
    HostFailed,
    InternalError,
    InvalidRequest,
    UnknownMethod,
    VersionMismatch,
)
from banger.host.files import REFUSALS, name_os_error
from banger.host.refusals import explain_refusal
from banger.reports import report_bug
from banger.version import VERSION

log = logging.getLogger(__name__)

READ_LIMIT_BYTES = 256 * 1024
"""Read limit of asyncio, which buffers twice as much; `_read_line` assembles longer lines."""

ANY_VERSION = frozenset({"daemon.status", "daemon.stop"})
"""Methods for clients of any version, with which a client detects and replaces the daemon."""

UNREAD_LIMIT_BYTES = 256 * 1024
"""Unread output above which progress is dropped: a client that does not read costs no memory."""
REPORT_INTERVAL_S = 0.05


class Connection:
    """One client."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        handlers: Handlers,
        operations: OperationTable,
        turns: Turns,
        reports: Path,
        before: Before,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handlers = handlers
        self._operations = operations
        self._turns = turns
        self._reports = reports
        self._before = before
        self._answered_at = float("-inf")
        self._stream: Stream | None = None
        self._loop_thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
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
            method, params = check_envelope(document)
            caller = check_caller(document)
        except InvalidRequest as error:
            code = wire.UNKNOWN_METHOD if isinstance(error, UnknownMethod) else wire.BAD_REQUEST
            await self._send(wire.format_error(number, error, rpc_code=code))
            return
        operation = self._new_operation(method)
        token = current_operation.set(operation.id)
        current_caller.set(caller)
        self.running = method
        since_answer_s = time.monotonic() - self._answered_at
        try:
            async with self._turns.take(method.name, since_answer_s=since_answer_s):
                last = await self._run(operation, method, params=params, document=document)
        finally:
            self.running = None
            current_operation.reset(token)
        await self._send_last(number, last)
        self._answered_at = time.monotonic()

    async def _run(
        self, operation: Operation, method: Method, *, params: object, document: wire.Document
    ) -> object:
        """Return the result, or the error as a value; only cancellation is raised."""
        started = time.monotonic()
        outcome: object
        try:
            _require_same_version(document, method)
            work = self._start_handler(operation, method, params=params, document=document)
            with self._operations.running(operation, work, is_cancellable=not method.detached):
                outcome = await work
        except BangerError as error:
            outcome = error
        except asyncio.CancelledError:
            log.info("%s cancelled ms=%d", method.name, _ms_since(started))
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Only the handler's task, or a task that it awaits, was cancelled; the client waits.
            outcome = Cancelled(f"{method.name} was cancelled.", retryable=True)
        except (OSError, MemoryError) as error:
            outcome = self._refused_by_host(error, method) or self._bug(operation, method, error)
        except Exception as error:  # noqa: BLE001 - the request's boundary
            outcome = self._bug(operation, method, error)
        if isinstance(outcome, BangerError):
            outcome.operation_id = operation.id
            log.info(
                "%s failed code=%s ms=%d: %s",
                method.name,
                outcome.code,
                _ms_since(started),
                outcome.message,
            )
        else:
            log.info("%s ok ms=%d", method.name, _ms_since(started))
        return outcome

    def _refused_by_host(self, error: OSError | MemoryError, method: Method) -> BangerError | None:
        """Return an error if the host lacks a resource or is broken; None if this is a bug."""
        log.warning("%s", method.name, exc_info=error)
        if isinstance(error, MemoryError):
            return HostFailed("The daemon is out of memory.", hint="banger doctor")
        if error.errno in REFUSALS:
            return explain_refusal(error) or name_os_error(error, where=self._reports.parent)
        return None

    def _bug(self, operation: Operation, method: Method, error: Exception) -> InternalError:
        log.error("%s hit a bug", method.name, exc_info=error)
        name = f"daemon-{operation.id}"
        return report_bug(error, reports=self._reports, what=method.name, name=name)

    def _start_handler(
        self, operation: Operation, method: Method, *, params: object, document: wire.Document
    ) -> asyncio.Future[object]:
        """Start a separate task: cancelled alone, it leaves this connection able to reply."""
        self._before(operation)
        handler = self._handlers.get(method.name)
        if handler is None:
            raise UnknownMethod(f"This daemon does not serve {method.name}.")

        async def start_stream(result: object) -> Stream:
            assert method.stream and self._stream is None
            await self._send(wire.format_reply(document.get("id"), msgspec.to_builtins(result)))
            self._stream = Stream(self._reader, self._writer)
            return self._stream

        call = Call(operation, start_stream=start_stream, on_disconnect=self.on_disconnect.append)
        return asyncio.ensure_future(handler(call, check_params(method, params)))

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

    # --- progress ---

    def _new_operation(self, method: Method) -> Operation:
        operation_id = format_operation_id(os.urandom(OPERATION_ID_BYTES))
        send = _ReportSender(operation_id, self._send_report)

        def receive(item: Progress | Note) -> None:
            self._operations.reported(operation, item)
            send(item)

        def report(item: Progress | Note) -> None:
            if threading.get_ident() == self._loop_thread:
                receive(item)
            else:
                self._loop.call_soon_threadsafe(receive, item)

        operation = Operation(operation_id, method.name, time.time(), report)
        return operation

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

    def __init__(self, operation_id: str, send: Callable[[bytes], None]) -> None:
        self._operation_id = operation_id
        self._send = send
        self._stage = ""
        self._sent_at = 0.0

    def __call__(self, item: Progress | Note) -> None:
        if isinstance(item, Progress):
            now = time.monotonic()
            is_last = item.done is not None and item.done == item.total
            same = item.stage == self._stage and not is_last
            if same and now - self._sent_at < REPORT_INTERVAL_S:
                return
            self._stage, self._sent_at = item.stage, now
        kind = "progress" if isinstance(item, Progress) else "note"
        content = {"operation_id": self._operation_id, **msgspec.to_builtins(item)}
        if not content.get("parts"):
            content.pop("parts", None)
        self._send(wire.format_notification(kind, content))


def _require_same_version(document: wire.Document, method: Method) -> None:
    client = document.get("client")
    if client in (None, VERSION) or method.name in ANY_VERSION:
        return
    raise VersionMismatch(
        f"The daemon is banger {VERSION}, the client is banger {client}.",
        hint="banger daemon restart",
        retryable=True,
    )


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


def _ms_since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
