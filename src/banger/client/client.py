"""Call the daemon's methods; start the daemon if none runs.

One connection, kept open and used for one request at a time: an ephemeral VM, which the daemon
ties to the connection, lives as long as the client object. Errors are raised as instances of their
own classes. Imports little, since every command pays (`tests/unit/cli/test_cli_imports.py`).
"""

from __future__ import annotations

import os
import select
import socket

from banger.api import wire
from banger.api.caller import select_caller
from banger.client.connect import connect
from banger.errors import DaemonUnreachable, InvalidRequest, VersionMismatch
from banger.layout import Layout
from banger.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from banger.client.calls import Call, OpenStream
    from banger.client.stream import ClientStream

    OnEvent = Callable[[str, wire.Document], None]
    """Called with each notification: `progress` or `note`, and its members."""
    OnTick = Callable[[], None]
    """Called ten times a second while the client waits for a reply."""

READ_BYTES = 256 * 1024
TICK_MS = 100
SILENCE_MS = 3000
"""Silence after which the client checks that the daemon is alive; four times longer each time."""
TRIES = 3
"""Attempts to send a request; each may meet a daemon that is just stopping."""


CALLER_UNKNOWN = "A request has the unknown member 'caller'."
"""Error of a daemon older than the member `caller`, whatever version the daemon reports."""


class _NotBegun(Exception):
    """The daemon stopped before beginning our request."""


class Client:
    """A connection to this user's daemon, opened by the first call.

    `call` and `stream` are `request` and `request_stream`, as type checkers see them: with the
    parameters and the result of each method.
    """

    call: Call
    stream: OpenStream

    def __init__(self, layout: Layout, *, autostart: bool = True) -> None:
        self._layout = layout
        self._autostart = autostart
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._number = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, which cancels a request in progress."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer.clear()

    def request(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        on_event: OnEvent | None = None,
        on_tick: OnTick | None = None,
    ) -> object:
        """Return the result of a method.

        Raises:
            BangerError: the daemon's error reply.
            DaemonUnreachable: no daemon runs or could be started, or the connection was lost.
        """
        try:
            return self._request(method, params or {}, on_event=on_event, on_tick=on_tick)
        except VersionMismatch:
            if not self._autostart:
                raise
        self._end_other_version()
        return self._request(method, params or {}, on_event=on_event, on_tick=on_tick)

    def request_stream(
        self,
        method: str,
        params: Mapping[str, object],
        *,
        on_event: OnEvent | None = None,
        on_tick: OnTick | None = None,
    ) -> ClientStream:
        """Call a `stream` method. The stream takes the connection; the next call opens another.

        Raises: as `request`.
        """
        # Imported here, since most commands have no stream.
        from banger.client.stream import ClientStream

        result = self.request(method, params, on_event=on_event, on_tick=on_tick)
        assert self._socket is not None
        stream = ClientStream(self._socket, result, unread=bytes(self._buffer))
        self._socket = None
        self._buffer.clear()
        return stream

    if not TYPE_CHECKING:
        call, stream = request, request_stream

    def _request(
        self,
        method: str,
        params: Mapping[str, object],
        *,
        on_event: OnEvent | None,
        on_tick: OnTick | None,
    ) -> object:
        """Send a request and return its result; retry if a stopping daemon did not begin it."""
        for _ in range(TRIES):
            try:
                self._send(method, params)
                return self._wait(method, on_event=on_event, on_tick=on_tick)
            except _NotBegun:
                self.close()
        raise _gone(method)

    def _send(self, method: str, params: Mapping[str, object]) -> None:
        self._number += 1
        # Daemons older than `caller` refuse it, but must accept `daemon.status` and `daemon.stop`.
        caller = None if method.startswith("daemon.") else select_caller(os.environ)
        line = wire.format_request(
            self._number, method, params=params, version=VERSION, caller=caller
        )
        if self._socket is None:
            self._socket = connect(self._layout, autostart=self._autostart)
        try:
            self._socket.sendall(line)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _NotBegun from error

    def _wait(self, method: str, *, on_event: OnEvent | None, on_tick: OnTick | None) -> object:
        while True:
            document = wire.parse_line(self._read_line(method, on_tick))
            if "id" in document or "error" in document:
                return self._require_result(document)
            if document.get("method") == wire.GOODBYE:
                raise _NotBegun
            content = document.get("params")
            if on_event is not None and isinstance(content, dict):
                on_event(str(document.get("method")), content)

    def _require_result(self, document: wire.Document) -> object:
        try:
            return wire.require_result(document, self._number)
        except InvalidRequest as error:
            if error.message == CALLER_UNKNOWN:
                raise VersionMismatch("The daemon is older than this client.") from error
            raise

    def _read_line(self, method: str, on_tick: OnTick | None) -> bytes:
        assert self._socket is not None
        while (end := self._buffer.find(b"\n")) < 0:
            _wait_readable(self._socket, on_tick)
            try:
                data = self._socket.recv(READ_BYTES)
            except ConnectionResetError as error:
                # The kernel reports a reset if the daemon closed with our request unread.
                raise _NotBegun from error
            if not data or len(self._buffer) > wire.MAX_LINE_BYTES:
                self.close()
                raise _gone(method)
            self._buffer += data
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def _end_other_version(self) -> None:
        """Stop the daemon at the other end of this connection.

        Never reconnect for this: a second client in the same situation must not stop the daemon
        that the first client has just started.
        """
        try:
            if self._socket is not None:
                self._send("daemon.stop", {})
                self._wait("daemon.stop", on_event=None, on_tick=None)
        except (DaemonUnreachable, _NotBegun):
            # Another client has stopped the daemon already.
            pass
        finally:
            self.close()


def _wait_readable(sock: socket.socket, on_tick: OnTick | None) -> None:
    """Wait until the daemon has sent something.

    Raises:
        DaemonSilent: the daemon hangs.
    """
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    waited_ms, limit_ms = 0, SILENCE_MS
    step_ms = TICK_MS if on_tick is not None else SILENCE_MS
    while not poller.poll(step_ms):
        waited_ms += step_ms
        if on_tick is not None:
            on_tick()
        if waited_ms >= limit_ms:
            from banger.client.silence import require_alive

            require_alive(sock)
            limit_ms *= 4


def _gone(method: str) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"The daemon went away before it answered {method}.",
        hint="banger daemon logs",
        retryable=True,
    )
