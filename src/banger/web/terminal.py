"""`/api/vms/REF/terminal`: a terminal in a guest, by WebSocket.

Binary frames are bytes in both directions. Text frames are JSON: `{"resize": [COLUMNS, ROWS]}` and
`{"ack": BYTES}` from the browser, `{"exit": N}` or `{"error": {...}}` to it as the last.
Parameters: `command` (once: a line for the shell; several times: the words of a command), `cols`,
`rows`, `session`, and `position`, with which the output of a session begins.
At most `WINDOW` bytes of output are on the way that the browser has not acknowledged, so a flood
stays in the guest. Without `session` the program gets SIGHUP when the browser has gone, and is
killed after `HANGUP_S`; a session goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
from collections.abc import Iterator
from functools import partial
from typing import Never

from starlette.datastructures import QueryParams
from starlette.websockets import WebSocket, WebSocketDisconnect

from banger.api import wire
from banger.client.aio import DaemonStream
from banger.errors import BangerError, InvalidRequest, SessionExists, SessionNotFound
from banger.model.scopes import Scope
from banger.sdk.aio.daemon import AsyncDaemon
from banger.web.answers import format_json, render_error
from banger.web.front import PROTOCOL, front_of, require_scope, until_invalid
from banger.web.racing import run_until
from banger.web.streams import Streaming

WINDOW = 256 * 1024
FRAME_BYTES = 64 * 1024
INPUT_BYTES = 4 * 1024 * 1024
"""Of input that the guest has not taken; more of it ends the terminal."""
HANGUP_S = 5.0
TAIL_LINES = 1000
"""Of a session, unless the browser knows a position."""
SHELL = 'exec "${SHELL:-/bin/sh}" -l'
ENV = {"TERM": "xterm-256color"}
SIZES = range(1, 65536)
ENDED, FAILED = 1000, 1011
"""Codes of a WebSocket's end."""


async def serve_terminal(socket: WebSocket) -> None:
    """Serve one terminal to its end."""
    # The browser may disconnect at any time, which is no error.
    with contextlib.suppress(_Gone):
        await _serve(socket)


async def _serve(socket: WebSocket) -> None:
    try:
        await require_scope(socket, Scope.USE)
    except BangerError as error:
        with _sending():
            await socket.send_denial_response(render_error(error))
        return
    with _sending():
        await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", ()) else None)
    last: dict[str, object]
    try:
        last, code = {"exit": await _run(socket)}, ENDED
    except BangerError as error:
        last, code = {"error": error.as_document()}, FAILED
    with _sending():
        await socket.send_text(format_json(last))
        await socket.close(code)


class _Gone(Exception):
    """The browser has gone."""


@contextlib.contextmanager
def _sending() -> Iterator[None]:
    """Take what sending to a browser that has gone raises for that."""
    try:
        yield
    except (RuntimeError, OSError, WebSocketDisconnect) as error:
        raise _Gone from error


async def _run(socket: WebSocket) -> int:
    daemon, query = front_of(socket).daemon, socket.query_params
    ref = socket.path_params["ref"]
    if session := query.get("session"):
        with contextlib.closing(await _attach(daemon, ref, session, query)) as stream:
            return await _Terminal(socket, stream).run()
    stream = await daemon.open_connection("vm.exec", _command(ref, query))
    try:
        return await _Terminal(socket, stream).run()
    finally:
        _hang_up(stream)


def _command(ref: str, query: QueryParams) -> wire.Document:
    words = query.getlist("command")
    argv = words if len(words) > 1 else ["/bin/sh", "-c", *(words or [SHELL])]
    terminal = parse_size(query.get("cols", "80"), query.get("rows", "24"))
    return {"ref": ref, "argv": argv, "env": ENV, "terminal": terminal, "stdin": True}


async def _attach(daemon: AsyncDaemon, ref: str, name: str, query: QueryParams) -> DaemonStream:
    """Attach to a session, which is started if there is none of this name."""
    command, which = _command(ref, query), {"ref": ref, "name": name}
    with contextlib.suppress(SessionExists):
        try:
            await daemon.call("session.show", which)
        except SessionNotFound:
            await daemon.call("session.start", {**command, "name": name})
    view = await daemon.call("session.show", which)
    params: wire.Document = {**which, "stdin": view["takes_input"]}
    params |= _parse_start(query)
    if view["terminal"]:
        params["terminal"] = command["terminal"]
    return await daemon.open_connection("session.attach", params)


def _parse_start(query: QueryParams) -> dict[str, int]:
    """Return where the output of a session begins.

    Raises:
        InvalidRequest: the position is no number.
    """
    position = query.get("position")
    if position is None:
        return {"tail": TAIL_LINES}
    if not re.fullmatch(r"[0-9]{1,18}", position):
        raise InvalidRequest("A position must be a number of bytes.")
    return {"position": int(position)}


def _hang_up(stream: DaemonStream) -> None:
    """Tell a program that its terminal has gone, and kill it if that does not end it."""
    stream.control({"signal": int(signal.SIGHUP)})
    stream.control({"eof": True})
    stream.resume()
    asyncio.get_running_loop().call_later(HANGUP_S, stream.close)


def parse_size(columns: object, rows: object) -> dict[str, int]:
    """Return the size of a terminal.

    Raises:
        InvalidRequest: it is not possible.
    """
    try:
        size = {"rows": int(str(rows)), "columns": int(str(columns))}
    except ValueError:
        size = {"rows": 0}
    if not all(number in SIZES for number in size.values()):
        raise InvalidRequest("A terminal has from 1 to 65535 columns and rows.")
    return size


class _Terminal:
    """The bytes between a browser and a stream."""

    def __init__(self, socket: WebSocket, stream: DaemonStream) -> None:
        self._socket = socket
        self._stream = stream
        self._streaming = Streaming(stream)
        self._input: asyncio.Queue[bytes] = asyncio.Queue()
        self._input_bytes = 0
        self._unacknowledged = 0
        self._acknowledged = asyncio.Event()

    async def run(self) -> int:
        """Pass bytes on until the program has ended; return its exit status.

        Raises:
            BangerError: the stream failed, or the browser sent what is not possible.
            TokenInvalid: the token was deleted, or has expired.
            _Gone: the browser has gone.
        """
        end = partial(until_invalid, self._socket)
        await run_until(self._send_output(), self._take_messages, self._send_input, end)
        ended = self._streaming.exit or {}
        return 128 + ended["signal"] if "signal" in ended else ended.get("status", 0)

    async def _send_output(self) -> None:
        while (output := await self._streaming.read()) is not None:
            for start in range(0, len(output[1]), FRAME_BYTES):
                await self._send(output[1][start : start + FRAME_BYTES])

    async def _send(self, data: bytes) -> None:
        while self._unacknowledged >= WINDOW:
            self._acknowledged.clear()
            await self._acknowledged.wait()
        self._unacknowledged += len(data)
        with _sending():
            await self._socket.send_bytes(data)

    async def _take_messages(self) -> Never:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise _Gone
            if message.get("bytes") is not None:
                self._take_input(message["bytes"])
            else:
                self._obey(message["text"])

    def _take_input(self, data: bytes) -> None:
        """Keep input: what follows it may be what the guest's output waits for."""
        self._input_bytes += len(data)
        if self._input_bytes > INPUT_BYTES:
            raise InvalidRequest("The guest does not read its input; more than 4 MiB are waiting.")
        self._input.put_nowait(data)

    async def _send_input(self) -> Never:
        while True:
            data = await self._input.get()
            await self._streaming.write(data)
            self._input_bytes -= len(data)

    def _obey(self, untrusted_text: str) -> None:
        try:
            content = json.loads(untrusted_text)
        except (ValueError, RecursionError):
            content = None
        match content:
            case {"resize": [columns, rows]}:
                self._stream.control({"resize": parse_size(columns, rows)})
            case {"ack": int(size_bytes)} if size_bytes >= 0:
                self._unacknowledged = max(0, self._unacknowledged - size_bytes)
                self._acknowledged.set()
            case _:
                raise InvalidRequest("A message of the terminal is not valid.")
