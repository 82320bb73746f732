"""The serial console of a VMM: a FIFO for input, a file for everything that the guest writes.

The VMM has the FIFO as its stdin and the file as its stdout. A file takes everything at once, so a
guest never waits for a reader, and each byte is logged once whoever is attached (hazard E2). A
client reads the file from where it ends, at its own pace; nothing is held for it.

The VMM's own descriptor of the FIFO is open for reading and writing, so the VMM never sees the end
of its input. `attach_console` owns the client's end. If the process dies the VMM goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from banger.errors import VmmFailed
from banger.host.files import ensure_private_dir
from banger.host.tails import LogReader

POLL_S = 0.02
"""How often the log is looked at while a client is attached."""


class ConsoleFiles(NamedTuple):
    """The descriptors that a VMM inherits."""

    stdin: int
    stdout: int


@contextlib.contextmanager
def console_files(typed: Path, log: Path) -> Iterator[ConsoleFiles]:
    """Make both files anew and open them for a VMM; our copies are closed on leaving."""
    ensure_private_dir(typed.parent)
    ensure_private_dir(log.parent)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(typed)
    os.mkfifo(typed, 0o600)
    stdin = os.open(typed, os.O_RDWR | os.O_CLOEXEC)
    try:
        # Appending, since the log is cut in place when it grows too long.
        anew = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC
        stdout = os.open(log, anew | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield ConsoleFiles(stdin, stdout)
        finally:
            os.close(stdout)
    finally:
        os.close(stdin)


@dataclass(frozen=True)
class ConsoleEnd:
    """How a console ended; consoles have no status of their own."""

    status: int = 0
    signal: int | None = None


@dataclass(frozen=True)
class Console:
    """A client's end of a console; shaped like a program that runs in a guest."""

    writer: asyncio.StreamWriter
    log: LogReader
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """The VMM has ended, or the client has detached."""
    detached: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, data: bytes) -> object:
        """Type `data`; waits while the guest takes nothing."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()
        return True

    async def write_eof(self) -> None:
        """Detach."""
        await self.close()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what the guest writes, until the VMM ends or the client detaches."""
        while True:
            # Asked before reading, so that the last bytes of a VMM are not missed.
            ended = self.ended.is_set()
            while not self.detached.is_set() and (data := await asyncio.to_thread(self.log.read)):
                yield 1, data
            if ended or self.detached.is_set():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self.ended.wait()

    async def wait(self) -> ConsoleEnd:
        """Return how the console ended."""
        return ConsoleEnd()

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: a serial line has no size."""

    async def signal(self, number: int) -> None:
        """Do nothing: what ends a program is typed."""

    async def close(self) -> object:
        """Detach; doing so again is fine. Input that found no room in the FIFO is dropped."""
        self.detached.set()
        self.ended.set()
        _abort(self.writer.transport)
        return None


@contextlib.asynccontextmanager
async def attach_console(typed: Path, log: Path, *, name: str) -> AsyncIterator[Console]:
    """Attach to a VMM's console for a block; `name` is the VM's, for people.

    Raises:
        VmmFailed: no VMM reads from `typed`.
    """
    log_end = await asyncio.to_thread(LogReader.at, log)
    try:
        # Without a reader this fails instead of waiting for one.
        fd = os.open(typed, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise VmmFailed(
            f"The console of {name} is not available: the VM has just ended, or an older "
            "banger started it.",
            hint=f"banger vm restart {name}",
        ) from error
    # Nothing comes in; the end of the stream is the end of the VMM.
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "wb", buffering=0)
    )
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    console = Console(writer, log_end)
    watcher = asyncio.create_task(_tell_end(reader, console.ended))
    try:
        yield console
    finally:
        watcher.cancel()
        _abort(transport)
        await asyncio.wait({watcher})


async def _tell_end(reader: asyncio.StreamReader, ended: asyncio.Event) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()
    ended.set()


def _abort(transport: asyncio.WriteTransport) -> None:
    # Of a transport that is closed asyncio's `abort` raises AttributeError (Python 3.11).
    if not transport.is_closing():
        transport.abort()
