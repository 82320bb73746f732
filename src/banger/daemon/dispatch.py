"""Run the requests of every front: envelope, parameters, verb, outcome.

Every exception becomes an error here: this module is the request boundary, the only place in the
daemon that catches everything. A front gives a `Peer` with each request, and sends the outcome.

Touches `reports` after a bug. Knows no sockets and takes no locks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from banger.api import wire
from banger.api.method import Method
from banger.daemon.calls import Before, Call, Handlers, OnDisconnect, Stream
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
    UnknownMethod,
    VersionMismatch,
)
from banger.host.files import REFUSALS, name_os_error
from banger.host.refusals import explain_refusal
from banger.reports import report_bug
from banger.version import VERSION

log = logging.getLogger(__name__)

ANY_VERSION = frozenset({"daemon.status", "daemon.stop"})
"""Methods for clients of any version, with which a client detects and replaces the daemon."""


@dataclass(frozen=True)
class Request:
    """A request whose envelope is valid; its parameters are not checked yet."""

    method: Method
    untrusted_params: object
    caller: dict[str, str] | None
    client_version: object


@dataclass(frozen=True)
class Peer:
    """The sender of a request, as seen through its front."""

    report: Callable[[Operation, Progress | Note], None]
    """Called in the loop's thread."""
    start_stream: Callable[[object], Awaitable[Stream]]
    on_disconnect: Callable[[OnDisconnect], None]
    since_answer_s: float
    """Seconds since the last answer to the same peer."""


def parse_request(document: wire.Document) -> Request:
    """Return the request of a document.

    Raises:
        InvalidRequest: the document is not a JSON-RPC request.
        UnknownMethod: no such method.
    """
    method, untrusted_params = check_envelope(document)
    return Request(method, untrusted_params, check_caller(document), document.get("client"))


class Dispatcher:
    """Runs the requests of all fronts."""

    def __init__(
        self,
        handlers: Handlers,
        *,
        operations: OperationTable,
        reports: Path,
        before: Before = lambda _: None,
    ) -> None:
        self._handlers = handlers
        self._operations = operations
        self._reports = reports
        self._before = before
        self._turns = Turns()

    async def run(self, request: Request, peer: Peer) -> object:
        """Return the result, or the error as a value; only cancellation is raised."""
        operation = self._new_operation(request.method, peer)
        token = current_operation.set(operation.id)
        current_caller.set(request.caller)
        name = request.method.name
        try:
            async with self._turns.take(name, since_answer_s=peer.since_answer_s):
                return await self._run(operation, request, peer)
        finally:
            current_operation.reset(token)

    async def _run(self, operation: Operation, request: Request, peer: Peer) -> object:
        started = time.monotonic()
        method = request.method
        outcome: object
        try:
            _require_same_version(request)
            work = self._start_handler(operation, request, peer)
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
            outcome = self._refused_by_host(error, method) or self._bug(operation, error)
        except Exception as error:  # noqa: BLE001 - the request's boundary
            outcome = self._bug(operation, error)
        _log_outcome(operation, outcome, ms=_ms_since(started))
        return outcome

    def _start_handler(
        self, operation: Operation, request: Request, peer: Peer
    ) -> asyncio.Future[object]:
        """Start a separate task: cancelled alone, it leaves the front able to reply."""
        self._before(operation)
        method = request.method
        handler = self._handlers.get(method.name)
        if handler is None:
            raise UnknownMethod(f"This daemon does not serve {method.name}.")
        call = Call(operation, start_stream=peer.start_stream, on_disconnect=peer.on_disconnect)
        return asyncio.ensure_future(handler(call, check_params(method, request.untrusted_params)))

    def _refused_by_host(self, error: OSError | MemoryError, method: Method) -> BangerError | None:
        """Return an error if the host lacks a resource or is broken; None if this is a bug."""
        log.warning("%s", method.name, exc_info=error)
        if isinstance(error, MemoryError):
            return HostFailed("The daemon is out of memory.", hint="banger doctor")
        if error.errno in REFUSALS:
            return explain_refusal(error) or name_os_error(error, where=self._reports.parent)
        return None

    def _bug(self, operation: Operation, error: Exception) -> InternalError:
        log.error("%s hit a bug", operation.method, exc_info=error)
        name = f"daemon-{operation.id}"
        return report_bug(error, reports=self._reports, what=operation.method, name=name)

    def _new_operation(self, method: Method, peer: Peer) -> Operation:
        """Return an operation whose reports reach the peer from any thread."""
        loop, loop_thread = asyncio.get_running_loop(), threading.get_ident()

        def receive(item: Progress | Note) -> None:
            self._operations.reported(operation, item)
            peer.report(operation, item)

        def report(item: Progress | Note) -> None:
            if threading.get_ident() == loop_thread:
                receive(item)
            else:
                loop.call_soon_threadsafe(receive, item)

        operation_id = format_operation_id(os.urandom(OPERATION_ID_BYTES))
        operation = Operation(operation_id, method.name, time.time(), report)
        return operation


def _require_same_version(request: Request) -> None:
    client = request.client_version
    if client in (None, VERSION) or request.method.name in ANY_VERSION:
        return
    raise VersionMismatch(
        f"The daemon is banger {VERSION}, the client is banger {client}.",
        hint="banger daemon restart",
        retryable=True,
    )


def _log_outcome(operation: Operation, outcome: object, *, ms: int) -> None:
    """Log how a request ended; an error gets the operation's id."""
    if not isinstance(outcome, BangerError):
        log.info("%s ok ms=%d", operation.method, ms)
        return
    outcome.operation_id = operation.id
    log.info("%s failed code=%s ms=%d: %s", operation.method, outcome.code, ms, outcome.message)


def _ms_since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
