"""Sockets in the guest through the host side, with the real agent: Unix sockets, what listens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from banger.errors import ExecNoSuchUser, GuestRefused, InvalidRequest
from banger.guest import GuestConnection, GuestTcp, connect_unix
from banger.guest.codec import FrameType
from tests.component.guest.scripted import Agent, play, refusal
from tests.support.agent import agent_connection

D = 20.0
NOISE = os.urandom(1_000_000)

Body = Callable[[GuestConnection], Awaitable[None]]
Play = Callable[[Body], None]


@pytest.fixture
def with_agent(agent_binary: Path) -> Play:
    """Run a test's body on a connection to an agent of its own."""

    async def run(body: Body) -> None:
        async with asyncio.timeout(60), agent_connection(agent_binary) as connection:
            await body(connection)

    return lambda body: asyncio.run(run(body))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, then its end."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def exchange(guest: GuestTcp, content: bytes) -> bytes:
    """Send everything and its end; return all that comes back."""

    async def send() -> None:
        await guest.write(content)
        await guest.write_eof()

    sender, got = asyncio.create_task(send()), b""
    while data := await guest.read():
        got += data
    await sender
    return got


@contextlib.asynccontextmanager
async def unix_echo(path: Path) -> AsyncIterator[None]:
    async with await asyncio.start_unix_server(echo, path):
        yield


# --- Unix sockets ---


def test_a_unix_socket_is_reached(with_agent: Play, tmp_path: Path) -> None:
    """H7."""

    async def body(connection: GuestConnection) -> None:
        path = os.fsencode(tmp_path / "echo")
        async with unix_echo(tmp_path / "echo"):
            for content in (NOISE, b""):
                async with await connect_unix(connection, path, deadline_s=D) as guest:
                    assert await exchange(guest, content) == content
            own = f"{os.getuid()}:{os.getgid()}"
            async with await connect_unix(connection, path, user=own, deadline_s=D) as guest:
                assert await exchange(guest, b"x") == b"x"

    with_agent(body)


def test_a_unix_socket_that_cannot_be_reached(with_agent: Play, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "deaf"))
    (tmp_path / "shut").mkdir(0)

    async def body(connection: GuestConnection) -> None:
        for name, code in {"deaf": "refused", "gone": "not-found", "shut/x": "denied"}.items():
            with pytest.raises(GuestRefused) as caught:
                await connect_unix(connection, os.fsencode(tmp_path / name), deadline_s=D)
            assert caught.value.guest_code == code
        for path in (b"relative", b"/" + b"x" * 107, b"", b"/a\0b"):
            with pytest.raises(InvalidRequest):
                await connect_unix(connection, path, deadline_s=D)
        with pytest.raises(ExecNoSuchUser):
            await connect_unix(connection, b"/x", user="nobody-of-this-name", deadline_s=D)

    with_agent(body)


def test_an_older_agent_has_no_unix_sockets() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(refusal(1, b"bad-request", b"field 32 does not belong there"))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(GuestRefused, match="older banger, which cannot connect to Unix"):
            await connect_unix(connection, b"/x", deadline_s=D)

    play(script, body)
