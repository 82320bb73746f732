"""A service manager that plays a part: D-Bus on a socket, as systemd speaks it, without cgroups.

The real one moves processes, and is met in `tests/kvm`; this one answers, hangs, lies and dies.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from jeepney import (
    DBusAddress,
    Message,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.asyncio import DBusConnection

GREETING = b"OK 0123456789abcdef0123456789abcdef\r\n"
MANAGER = DBusAddress("/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager")
JOB = "/org/freedesktop/systemd1/job/7"

Part = Callable[["Caller", Message], Awaitable[None]]


class Caller:
    """Who asked: what the manager says to him."""

    def __init__(self, connection: DBusConnection) -> None:
        self._connection = connection

    async def accept(self, call: Message) -> None:
        await self._connection.send(new_method_return(call, "o", (JOB,)))

    async def refuse(self, call: Message, name: str, text: str) -> None:
        await self._connection.send(new_error(call, name, "s", (text,)))

    async def end_job(self, job: str, unit: str, result: str) -> None:
        body = (7, job, unit, result)
        await self._connection.send(new_signal(MANAGER, "JobRemoved", "uoss", body))

    def write(self, data: bytes) -> None:
        self._connection.writer.write(data)


@contextlib.asynccontextmanager
async def service_manager(
    path: Path, part: Part, *, greeting: bytes = GREETING
) -> AsyncIterator[list[tuple[Any, ...]]]:
    """A manager that listens at `path` for a block; yields the bodies of the calls to it."""
    calls: list[tuple[Any, ...]] = []
    callers: list[asyncio.Task[object]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served = asyncio.current_task()
        assert served is not None
        callers.append(served)
        with contextlib.closing(writer), contextlib.suppress(EOFError, ConnectionError):
            if await _greet(reader, writer, greeting):
                connection = DBusConnection(reader, writer)
                call = await connection.receive()
                calls.append(call.body)
                await part(Caller(connection), call)

    path.parent.mkdir(parents=True, exist_ok=True)
    server = await asyncio.start_unix_server(serve, path)
    try:
        yield calls
    finally:
        server.close()
        # A part may hang, and Python from 3.12.1 on waits for those who are served.
        for each in callers:
            each.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await server.wait_closed()


async def _greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: bytes
) -> bool:
    auth = await reader.readuntil(b"\r\n")
    assert auth.startswith(b"\0AUTH EXTERNAL "), auth
    writer.write(greeting)
    return await reader.readuntil(b"\r\n") == b"BEGIN\r\n"
