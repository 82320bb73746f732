"""A scripted agent on the other end of a socket pair: it says what a test wants, right or wrong.

Nothing here uses the decoder under test: frames are read with exact reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from banger.guest import GuestConnection, connect
from banger.guest.codec import MAGIC, PREAMBLE, FrameType
from banger.guest.fields import Tag, encode_fields

PATIENCE_S = 20.0
HELLO_FIELDS = encode_fields(
    [
        (Tag.AGENT_VERSION, b"scripted"),
        (Tag.BOOT_ID, b"0d3f6d0e-0000-4000-8000-000000000001"),
        (Tag.STATE, b"booted"),
        (Tag.ARCH, b"x86_64"),
    ]
)


class Heard(NamedTuple):
    """A frame from the host."""

    type: int
    channel: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, stream: int, payload: bytes = b"", *, channel: int = 0) -> bytes:
    """One frame of the agent."""
    head = struct.pack("<BBBBII", kind, channel, 0, 0, stream, len(payload))
    return head + payload + b"\xe5"


def hello(nonce: bytes, *, version: int = 1, fields: bytes = HELLO_FIELDS) -> bytes:
    """The agent's HELLO frame."""
    return frame(FrameType.HELLO, 0, MAGIC + nonce + struct.pack("<HH", version, 0) + fields)


def result(stream: int, *fields: tuple[Tag, bytes]) -> bytes:
    """A RESULT frame."""
    return frame(FrameType.RESULT, stream, encode_fields(fields))


def refusal(stream: int, code: bytes, message: bytes = b"no") -> bytes:
    """An ERROR frame."""
    fields = encode_fields([(Tag.CODE, code), (Tag.MESSAGE, message)])
    return frame(FrameType.ERROR, stream, fields)


class Agent:
    """The guest's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.nonce = b""

    async def hear_hello(self) -> bytes:
        """Read the host's preamble and HELLO; keep and return the nonce."""
        assert await self.reader.readexactly(len(PREAMBLE)) == PREAMBLE
        heard = await self.hear()
        assert heard.type == FrameType.HELLO
        assert heard.payload[:8] == MAGIC
        self.nonce = heard.payload[8:24]
        assert struct.unpack("<HH", heard.payload[24:]) == (1, 2)
        return self.nonce

    async def greet(self) -> None:
        """Answer the host's HELLO as an agent should."""
        self.say(hello(await self.hear_hello()))

    async def hear(self, *kinds: FrameType) -> Heard:
        """Read one frame; with `kinds`, it must be one of these."""
        head = await self.reader.readexactly(12)
        kind, channel, flags, zero, stream, length = struct.unpack("<BBBBII", head)
        payload = await self.reader.readexactly(length)
        assert (await self.reader.readexactly(1), zero) == (b"\xe5", 0)
        assert not kinds or kind in kinds, f"heard {FrameType(kind).name}"
        return Heard(kind, channel, flags, stream, payload)

    def say(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def hang_up(self) -> None:
        """Close the connection after everything was sent."""
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()
        self.writer.close()


Script = Callable[[Agent], Awaitable[None]]
Body = Callable[[GuestConnection], Awaitable[None]]


def play(script: Script, body: Body, *, deadline_s: float = PATIENCE_S) -> None:
    """Run `body` on a connection whose agent follows `script`; both must come to their end."""
    asyncio.run(_play(script, body, deadline_s))


async def _play(script: Script, body: Body, deadline_s: float) -> None:
    async with asyncio.timeout(PATIENCE_S), scripted(script) as ours:
        connection = await connect(ours, deadline_s=deadline_s)
        try:
            await body(connection)
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[socket.socket]:
    """A socket with a scripted agent behind it; a script that fails fails the test."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    task = asyncio.ensure_future(script(Agent(reader, writer)))
    try:
        yield ours
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
