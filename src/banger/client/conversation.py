"""A client's side of the protocol, on any transport: requests, replies, restarts.

A talk is a generator. It yields a step for its driver to take on the connection (`CONNECT`,
`SEND`, `RECEIVE`, `CLOSE`, and what to send), is sent the bytes that were received (b"": the
end), and returns the result. A driver throws `NotBegun` where the system says that the daemon has
not read what was sent. `client.Client` drives talks by a blocking socket, `client.aio` by a loop.

Pure and light: every command loads this module.
"""

from __future__ import annotations

from banger.api import wire
from banger.api.caller import select_caller
from banger.errors import DaemonUnreachable, InvalidRequest, OutcomeUnknown, VersionMismatch
from banger.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    OnEvent = Callable[[str, wire.Document], None]
    """Called with each notification: `progress` or `note`, and its members."""
    Step = tuple[str, bytes]
    Params = Mapping[str, object]

CONNECT = "connect"
SEND = "send"
RECEIVE = "receive"
CLOSE = "close"

TRIES = 3
"""Attempts to send a request; each may meet a daemon that is just stopping."""
CALLER_UNKNOWN = "A request has the unknown member 'caller'."
"""Error of a daemon older than the member `caller`, whatever version the daemon reports."""


class NotBegun(Exception):
    """The daemon stopped before beginning our request."""


class Conversation:
    """The requests of one client, one after the other, on one connection after the other."""

    def __init__(self, *, replaces: bool, environ: Mapping[str, str] | None) -> None:
        self._replaces = replaces
        """True: a daemon of another version is stopped, and the request sent to the next."""
        self._environ = environ
        """Where the variables come from that are sent along; None: none are."""
        self.operation_id = ""
        """Id of the request in progress, once the daemon has reported it; else empty."""
        self._is_open = False
        self._buffer = bytearray()
        self._number = 0

    def end_connection(self) -> bytes:
        """Have the next request connect anew; return what came after the last reply."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        self._is_open = False
        return rest

    def request(
        self, method: str, params: Params, on_event: OnEvent | None
    ) -> Generator[Step, bytes, object]:
        """Talk about one request; return its result.

        Raises:
            BangerError: the daemon's error reply.
            DaemonUnreachable: daemons stopped one after the other before they began the request.
            OutcomeUnknown: the connection was lost after the daemon may have begun.
        """
        try:
            return (yield from self._ask(method, params, on_event))
        except VersionMismatch:
            if not self._replaces:
                raise
        yield from self._end_other_version()
        return (yield from self._ask(method, params, on_event))

    def _ask(
        self, method: str, params: Params, on_event: OnEvent | None
    ) -> Generator[Step, bytes, object]:
        """Send a request and return its result; retry if a stopping daemon did not begin it."""
        for _ in range(TRIES):
            try:
                yield from self._send(method, params)
                return (yield from self._receive_reply(method, on_event))
            except NotBegun:
                yield from self._close()
        raise DaemonUnreachable(
            f"The daemon went away before it began {method}.",
            hint="banger daemon logs",
            retryable=True,
        )

    def _send(self, method: str, params: Params) -> Generator[Step, bytes, None]:
        self._number += 1
        self.operation_id = ""
        # Daemons older than `caller` refuse it, but must accept `daemon.status` and `daemon.stop`.
        environ = None if method.startswith("daemon.") else self._environ
        caller = None if environ is None else select_caller(environ)
        line = wire.format_request(
            self._number, method, params=params, version=VERSION, caller=caller
        )
        if not self._is_open:
            yield CONNECT, b""
            self._is_open = True
        yield SEND, line

    def _receive_reply(
        self, method: str, on_event: OnEvent | None
    ) -> Generator[Step, bytes, object]:
        while True:
            document = wire.parse_line((yield from self._receive_line(method)))
            if "id" in document or "error" in document:
                return self._require_result(document)
            if document.get("method") == wire.GOODBYE:
                raise NotBegun
            content = document.get("params")
            if isinstance(content, dict):
                self.operation_id = str(content.get("operation_id", ""))
                if on_event is not None:
                    on_event(str(document.get("method")), content)

    def _require_result(self, document: wire.Document) -> object:
        try:
            return wire.require_result(document, self._number)
        except InvalidRequest as error:
            if error.message == CALLER_UNKNOWN:
                raise VersionMismatch("The daemon is older than this client.") from error
            raise

    def _receive_line(self, method: str) -> Generator[Step, bytes, bytes]:
        while (end := self._buffer.find(b"\n")) < 0:
            data = yield RECEIVE, b""
            if not data or len(self._buffer) > wire.MAX_LINE_BYTES:
                yield from self._close()
                raise OutcomeUnknown(
                    f"The daemon went away before it answered {method}.",
                    hint="banger daemon logs",
                )
            self._buffer += data
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def _end_other_version(self) -> Generator[Step, bytes, None]:
        """Stop the daemon at the other end of this connection.

        Never reconnect for this: a second client in the same situation must not stop the daemon
        that the first client has just started.
        """
        try:
            if self._is_open:
                yield from self._send("daemon.stop", {})
                yield from self._receive_reply("daemon.stop", None)
        except (DaemonUnreachable, NotBegun):
            # Another client has stopped the daemon already.
            pass
        yield from self._close()

    def _close(self) -> Generator[Step, bytes, None]:
        self.end_connection()
        yield CLOSE, b""
