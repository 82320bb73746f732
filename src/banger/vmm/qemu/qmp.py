"""Conversations with QEMU over its control socket (QMP).

A connection is opened for each conversation and closed after it: QEMU serves one
client at a time, and an idle daemon with many VMs holds nothing.

Not by the QEMU project's own library: `qemu.qmp` 0.0.6 cannot be cancelled while it
connects, which is how each deadline on a hung VMM ends (it logs a critical "bug in the
QMP library" and leaves its tasks behind), and bounds nothing. ADR 0003.

What QEMU says is `untrusted_`: it may have been taken over by its guest. Lines and
their number are bounded, and what is not in the shapes below is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import msgspec

from banger.errors import DeadlineExceeded, VmmFailed

LINE_BYTES = 64 * 1024
MESSAGES = 1000
"""Events that may come before an answer."""
STATUS_CHARACTERS = 40


class _Failure(msgspec.Struct, frozen=True):
    desc: str


class _Message(msgspec.Struct, frozen=True):
    """Any line of QEMU's: the greeting, an event, an answer or a failure."""

    greeting: dict[str, object] | None = msgspec.field(name="QMP", default=None)
    result: dict[str, object] | None = msgspec.field(name="return", default=None)
    error: _Failure | None = None


class _Status(msgspec.Struct, frozen=True):
    status: str


@dataclass(frozen=True)
class _Conversation:
    path: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def execute(self, command: str) -> dict[str, object]:
        """Send a command; return its answer, skipping what QEMU says of its own accord."""
        self.writer.write(msgspec.json.encode({"execute": command}) + b"\n")
        await self.writer.drain()
        for _ in range(MESSAGES):
            message = await self.receive()
            if message.error is not None:
                raise VmmFailed(f"QEMU refused {command}: {message.error.desc[:200]}")
            if message.result is not None:
                return message.result
        raise VmmFailed(f"QEMU at {self.path} talks without answering.")

    async def receive(self) -> _Message:
        untrusted_line = await self.reader.readline()
        if not untrusted_line.endswith(b"\n"):
            raise EOFError
        return msgspec.json.decode(untrusted_line, type=_Message)


async def query_status(socket_path: str, *, deadline_s: float) -> str:
    """Return the VMM's run state, such as `running`.

    Raises:
        VmmFailed: it does not answer as QEMU would.
        DeadlineExceeded: it does not answer in time.
    """
    answer = await _ask(socket_path, "query-status", deadline_s=deadline_s)
    try:
        return msgspec.convert(answer, _Status).status[:STATUS_CHARACTERS]
    except msgspec.ValidationError as error:
        raise VmmFailed(f"QEMU at {socket_path} answers query-status with nonsense.") from error


async def ask_to_quit(socket_path: str, *, deadline_s: float) -> None:
    """Tell QEMU to end; it flushes its disks first.

    Raises:
        VmmFailed: it cannot be told (it may be gone already).
        DeadlineExceeded: it does not answer in time.
    """
    await _ask(socket_path, "quit", deadline_s=deadline_s)


async def _ask(socket_path: str, command: str, *, deadline_s: float) -> dict[str, object]:
    """Connect, greet, give one command, and leave."""
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_unix_connection(socket_path, limit=LINE_BYTES)
            try:
                conversation = _Conversation(socket_path, reader, writer)
                if (await conversation.receive()).greeting is None:
                    raise VmmFailed(f"What answers at {socket_path} is not QEMU.")
                await conversation.execute("qmp_capabilities")
                return await conversation.execute(command)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"QEMU did not answer at {socket_path} within {deadline_s:g} s."
        ) from error
    # ValueError: a line longer than the limit, or not JSON of our shapes.
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise VmmFailed(f"QEMU cannot be talked to at {socket_path}: {error!r}.") from error
