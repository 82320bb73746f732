"""The serial console of a VMM: both ways, for one client.

What the guest says is taken at once, whether our client is as fast or not: a guest whose console
nobody takes stands still in it, and its log would lack what it could not say (hazard E2). What
the client has no time for is left out, with a line that says so; the log has it.

Owns the connection to the VMM's socket. If the process dies the VMM sees the end of the connection,
and goes on as before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from banger.errors import VmmFailed

HELD_BYTES = 256 * 1024
CHUNK_BYTES = 65536
LEFT_OUT = b"\r\n[banger: some output was left out here; it is in the log]\r\n"


@dataclass(frozen=True)
class ConsoleEnd:
    """How it ended; a console has no status of its own."""

    status: int = 0
    signal: int | None = None


@dataclass
class Console:
    """A connection to a console; shaped like a program that runs in a guest."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    held: bytearray = field(default_factory=bytearray)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    async def write(self, data: bytes) -> object:
        """Type; waits while the guest takes nothing."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()
        return True

    async def write_eof(self) -> None:
        """Let go of the console."""
        await self.close()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what the guest says, until it ends or the console is let go of."""
        while True:
            await self.changed.wait()
            self.changed.clear()
            data, ended = bytes(self.held), self.ended
            self.held.clear()
            if data:
                yield 1, data
            if ended:
                return

    async def wait(self) -> ConsoleEnd:
        """Return how it ended."""
        return ConsoleEnd()

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: a serial line has no size."""

    async def signal(self, number: int) -> None:
        """Do nothing: what ends a program is typed."""

    async def close(self) -> object:
        """End the connection; again is fine."""
        self.writer.close()
        return None

    async def take(self) -> None:
        """Take what the guest says until the connection ends."""
        with contextlib.suppress(ConnectionError):
            while data := await self.reader.read(CHUNK_BYTES):
                self._hold(data)
        self.ended = True
        self.changed.set()

    def _hold(self, data: bytes) -> None:
        if len(self.held) + len(data) <= HELD_BYTES:
            self.held += data
        elif not self.held.endswith(LEFT_OUT):
            self.held += LEFT_OUT
        self.changed.set()


@contextlib.asynccontextmanager
async def connect_console(path: Path, *, name: str) -> AsyncIterator[Console]:
    """Be the one client of a VMM's console for a block; `name` is the VM's, for people.

    Raises:
        VmmFailed: there is no console at `path`.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        raise VmmFailed(
            f"The console of {name} is not there: the VM has just ended, or an older banger "
            "started it.",
            hint=f"banger vm restart {name}",
        ) from error
    console = Console(reader, writer)
    taker = asyncio.create_task(console.take())
    try:
        yield console
    finally:
        taker.cancel()
        await asyncio.wait({taker})
        writer.close()
