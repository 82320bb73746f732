"""`vm.connect`, `vm.listen`, `vm.accept`: bytes to and from sockets in guests.

A connection that came to a listener waits in memory for the client that was told of it: at most
`WAITING_MAX` for each listener, and `TAKE_S` each. More wait in the guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncGenerator, Callable

from banger.api.method import serves
from banger.api.requests import VmAccept, VmConnect, VmListen
from banger.api.results import StartedListen, StartedStream
from banger.api.stream import STDOUT
from banger.daemon.calls import DONE, Call, Exit, Stream
from banger.daemon.relay import relay
from banger.engine.state.engine import Engine
from banger.engine.verbs.connect import open_connection, open_listener
from banger.errors import GuestRefused, NotFound
from banger.guest import ExitStatus, GuestListener, GuestTcp, Incoming

WAITING_MAX = 16
TAKE_S = 30.0
TOKEN_BYTES = 16


class Arrivals:
    """Connections that wait to be taken, by token."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[GuestTcp, Callable[[], None]]] = {}

    def put(self, tcp: GuestTcp, on_gone: Callable[[], None]) -> str:
        """Keep a connection; `on_gone` is called when it waits no more."""
        token = secrets.token_hex(TOKEN_BYTES)
        self._waiting[token] = (tcp, on_gone)
        asyncio.get_running_loop().call_later(TAKE_S, self.drop, token)
        return token

    def take(self, token: str) -> GuestTcp:
        """Return a connection.

        Raises:
            NotFound: it has waited too long, or its listener was closed.
        """
        if token not in self._waiting:
            raise NotFound("No waiting connection has this token.")
        tcp, on_gone = self._waiting.pop(token)
        on_gone()
        return tcp

    def drop(self, token: str) -> None:
        """Reset a connection, unless it was taken. Idempotent."""
        with contextlib.suppress(NotFound):
            self.take(token).close()


@serves("vm.connect")
async def connect(engine: Engine, call: Call, params: VmConnect) -> Exit:
    """Join the stream with a new connection."""
    async with await open_connection(engine, params) as tcp:
        return await _join(await call.start_stream(StartedStream()), tcp)


@serves("vm.listen")
async def listen(engine: Engine, arrivals: Arrivals, call: Call, params: VmListen) -> Exit:
    """Tell the client of each connection that comes."""
    async with await open_listener(engine, params) as listener:
        stream = await call.start_stream(_describe(listener))
        await _tell(stream, listener, arrivals)
    return DONE


@serves("vm.accept")
async def accept(arrivals: Arrivals, call: Call, params: VmAccept) -> Exit:
    """Join the stream with a connection that has come."""
    async with arrivals.take(params.token) as tcp:
        return await _join(await call.start_stream(StartedStream()), tcp)


def _describe(listener: GuestListener) -> StartedListen:
    host, port = listener.place or (None, None)
    path = None if listener.path is None else listener.path.decode("utf-8", "surrogateescape")
    return StartedListen(host=host, port=port, path=path)


async def _tell(stream: Stream, listener: GuestListener, arrivals: Arrivals) -> None:
    """Tell of each connection until the client has left, which cancels this."""
    slots = asyncio.Semaphore(WAITING_MAX)
    tokens: list[str] = []
    try:
        while True:
            await slots.acquire()
            arrived = await _accept(listener)
            token = arrivals.put(arrived.socket, slots.release)
            tokens = [*tokens[-WAITING_MAX:], token]
            host, port = arrived.peer or (None, None)
            told = {"token": token, "peer_host": host, "peer_port": port}
            await stream.write(STDOUT, json.dumps(told).encode("ascii") + b"\n")
    finally:
        for token in tokens:
            arrivals.drop(token)


async def _accept(listener: GuestListener) -> Incoming:
    """Return the next connection that is still there when it is taken."""
    while True:
        try:
            return await listener.accept(deadline_s=TAKE_S)
        except GuestRefused as error:
            if error.guest_code != "not-found":
                raise


async def _join(stream: Stream, tcp: GuestTcp) -> Exit:
    return await relay(stream, _SocketSession(stream, tcp), timeout_s=None)


class _SocketSession:
    """A connection, relayed as a program is: its output's end is told apart from its own."""

    def __init__(self, stream: Stream, tcp: GuestTcp) -> None:
        self._stream = stream
        self._tcp = tcp

    async def write(self, data: bytes) -> bool:
        return await self._tcp.write(data)

    async def write_eof(self) -> None:
        await self._tcp.write_eof()

    async def output(self) -> AsyncGenerator[tuple[int, bytes], None]:
        while data := await self._tcp.read():
            yield STDOUT, data
        self._stream.end_output()

    async def wait(self) -> ExitStatus:
        await self._tcp.wait_ended()
        return ExitStatus(0)

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: a connection has no terminal."""

    async def signal(self, number: int) -> None:
        """Do nothing: a client ends a connection by closing it."""

    async def close(self) -> None:
        self._tcp.close()
