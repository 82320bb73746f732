"""`vm.connect`: bytes to and from a socket in a guest."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from banger import engine as verbs
from banger.api.requests import VmConnect
from banger.api.results import StartedStream
from banger.api.stream import STDOUT
from banger.daemon.calls import Call, Exit, Handlers, Stream
from banger.daemon.relay import relay
from banger.engine import Engine
from banger.guest import ExitStatus, GuestTcp


def socket_handlers(engine: Engine) -> Handlers:
    """Return the handlers of these methods."""

    async def connect(call: Call, params: VmConnect) -> Exit:
        async with await verbs.open_connection(engine, params) as tcp:
            return await _join(await call.start_stream(StartedStream()), tcp)

    return {"vm.connect": connect}


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
