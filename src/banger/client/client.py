"""Call the daemon's methods; start the daemon if none runs.

One connection, kept open and used for one request at a time: an ephemeral VM, which the daemon
ties to the connection, lives as long as the client object. Errors are raised as instances of their
own classes. Imports little, since every command pays (`tests/unit/cli/test_cli_imports.py`).
"""

from __future__ import annotations

import os
import select
import socket

from banger.client.connect import connect
from banger.client.conversation import CONNECT, RECEIVE, SEND, Conversation, NotBegun
from banger.errors import BangerError
from banger.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from types import TracebackType

    from banger.client.calls import Call, OpenStream
    from banger.client.conversation import OnEvent, Step
    from banger.client.stream import ClientStream

    OnTick = Callable[[], None]
    """Called ten times a second while the client waits for a reply."""

READ_BYTES = 256 * 1024
TICK_MS = 100
SILENCE_MS = 3000
"""Silence after which the client checks that the daemon is alive; four times longer each time."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what became of the request: its `result`, or None if it was undone.

    If it failed by itself, its error is the cause. A plain KeyboardInterrupt leaves all open.
    """

    def __init__(self, result: object = None) -> None:
        super().__init__()
        self.result = result


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
        self._conversation = Conversation(replaces=autostart, environ=os.environ)
        self._is_interrupted = False
        """Ctrl-C has come during the request in progress."""

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
        self._conversation.end_connection()

    def request(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        on_event: OnEvent | None = None,
        on_tick: OnTick | None = None,
    ) -> object:
        """Return the result of a method. Ctrl-C cancels the request, and waits for its undoing.

        Raises:
            Interrupted: Ctrl-C, also if the request was completed before it could be cancelled.
            BangerError: the daemon's error reply.
            DaemonUnreachable: no daemon runs or could be started.
            OutcomeUnknown: the connection was lost after the daemon may have begun.
        """
        self._is_interrupted = False
        try:
            talk = self._conversation.request(method, params or {}, on_event)
            result = self._drive(talk, on_tick)
        except BangerError as error:
            if not self._is_interrupted:
                raise
            self.close()
            raise Interrupted from error
        except KeyboardInterrupt:
            try:
                if not self._is_interrupted:
                    self._cancel()
            finally:
                self.close()
            raise
        if self._is_interrupted:
            raise Interrupted(result)
        return result

    def _drive(self, talk: Generator[Step, bytes, object], on_tick: OnTick | None) -> object:
        """Take the steps of a talk; return its result."""
        try:
            step, line = next(talk)
            while True:
                try:
                    data = self._take(step, line, on_tick)
                except NotBegun as not_begun:
                    step, line = talk.throw(not_begun)
                else:
                    step, line = talk.send(data)
        except StopIteration as end:
            return end.value

    def _cancel(self) -> bool:
        """Cancel the request in progress; tell whether it had ended, so that its reply follows.

        Raises:
            Interrupted: it is undone.
        """
        self._is_interrupted = True
        operation_id = self._conversation.operation_id
        if not operation_id:
            return False  # the end of the connection cancels it
        try:
            with Client(self._layout, autostart=False) as other:
                try:
                    other.call("operations.cancel", {"id": operation_id})
                except BangerError:
                    # It has ended, or is always completed.
                    return all(each["id"] != operation_id for each in other.call("operations.list"))
        except BangerError:
            return False
        raise Interrupted

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
        stream = ClientStream(self._socket, result, unread=self._conversation.end_connection())
        self._socket = None
        return stream

    if not TYPE_CHECKING:
        call, stream = request, request_stream

    def _take(self, step: str, line: bytes, on_tick: OnTick | None) -> bytes:
        """Take a step of a talk.

        Raises:
            NotBegun: the daemon has not read what was sent.
        """
        if step == CONNECT:
            self._connect()
            return b""
        if self._socket is None:
            return b""
        try:
            if step == SEND:
                self._socket.sendall(line)
            elif step == RECEIVE:
                self._wait_or_cancel(self._socket, on_tick)
                return self._socket.recv(READ_BYTES)
            else:
                self.close()
        except (BrokenPipeError, ConnectionResetError) as error:
            # The kernel reports a reset if the daemon closed with our request unread.
            raise NotBegun from error
        return b""

    def _connect(self) -> None:
        """Connect for a request of which nothing has begun."""
        if self._is_interrupted:
            raise Interrupted
        try:
            self._socket = connect(self._layout, autostart=self._autostart)
        except KeyboardInterrupt:
            raise Interrupted from None

    def _wait_or_cancel(self, sock: socket.socket, on_tick: OnTick | None) -> None:
        """Wait until the daemon has sent something; on Ctrl-C cancel the request, and wait again.

        Only here nothing that has arrived can be lost. A second Ctrl-C ends the wait.
        """
        try:
            _wait_readable(sock, on_tick)
        except KeyboardInterrupt:
            if self._is_interrupted or not self._cancel():
                raise
            _wait_readable(sock, on_tick)


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
