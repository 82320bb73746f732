"""The way to an agent behind Firecracker's vsock, against a socket that answers as that does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from banger.errors import DeadlineExceeded, GuestGone
from banger.vmm.firecracker.vsock import connect_agent

Serve = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
DEADLINE_S = 60.0


@contextlib.asynccontextmanager
async def serving(path: Path, serve: Serve) -> AsyncIterator[None]:
    """Serve connections at a path; `serve` is told the number of each."""
    number = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        try:
            await serve(number, reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_unix_server(accept, path):
        yield


async def let_in(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.readline() == b"CONNECT 5005\n"
    writer.write(b"OK 1073741824\nfirst bytes of the agent")
    await writer.drain()


async def read_all(sock: socket.socket) -> bytes:
    with sock:
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        content = await reader.read()
        writer.close()
    return content


def test_what_follows_the_answer_is_the_agents(short_dir: Path) -> None:
    path = short_dir / "agent.sock"

    async def scenario() -> None:
        async with serving(path, let_in):
            sock = await connect_agent(str(path), deadline_s=DEADLINE_S)
            assert await read_all(sock) == b"first bytes of the agent"

    asyncio.run(scenario())


def test_a_guest_that_does_not_listen_yet_is_asked_again(short_dir: Path) -> None:
    """D3: Firecracker closes the connection without an answer until the guest listens."""
    path, seen = short_dir / "agent.sock", []

    async def late(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(number)
        if number == 5:
            await let_in(number, reader, writer)

    async def scenario() -> None:
        async with serving(path, late):
            (await connect_agent(str(path), deadline_s=DEADLINE_S)).close()
        assert seen == [1, 2, 3, 4, 5]

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", [b"NO\n", b"OK \n", b"OK 1" * 100, b"OK 12345678901\n"])
def test_another_answer_is_refused(short_dir: Path, answer: bytes) -> None:
    """E2."""
    path = short_dir / "agent.sock"

    async def lie(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await writer.drain()
        await reader.read()

    async def scenario() -> None:
        async with serving(path, lie):
            with pytest.raises(GuestGone, match="not Firecracker's vsock"):
                await connect_agent(str(path), deadline_s=DEADLINE_S)

    asyncio.run(scenario())


def test_a_knock_that_is_lost_is_repeated(short_dir: Path) -> None:
    """D3: a guest that was just restored may drop the first."""
    path = short_dir / "agent.sock"

    async def lose(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            await reader.read()
        else:
            await let_in(number, reader, writer)

    async def scenario() -> None:
        async with serving(path, lose):
            (await connect_agent(str(path), deadline_s=DEADLINE_S)).close()

    asyncio.run(scenario())


def test_silence_ends_with_the_deadline(short_dir: Path) -> None:
    """H9."""
    path = short_dir / "agent.sock"

    async def say_nothing(
        _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        del writer
        await reader.read()

    async def scenario() -> None:
        async with serving(path, say_nothing):
            with pytest.raises(DeadlineExceeded):
                await connect_agent(str(path), deadline_s=0.2)

    asyncio.run(scenario())


def test_a_vmm_that_has_ended_is_not_waited_for(short_dir: Path) -> None:
    """H2: nobody listens, or the socket is gone."""
    path = short_dir / "agent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    for _ in range(2):
        with pytest.raises(GuestGone, match="cannot be reached"):
            asyncio.run(connect_agent(str(path), deadline_s=DEADLINE_S))
        path.unlink(missing_ok=True)


def test_a_link_to_another_socket_is_not_followed(short_dir: Path) -> None:
    """E5: a VMM that was taken over may write in its directory; the user's sockets are beyond."""
    path, other = short_dir / "agent.sock", short_dir / "other.sock"
    path.symlink_to(other)

    async def scenario() -> None:
        async with serving(other, let_in):
            with pytest.raises(GuestGone, match="is not a socket"):
                await connect_agent(str(path), deadline_s=DEADLINE_S)

    asyncio.run(scenario())
