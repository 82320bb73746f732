"""Forwards from and to Unix sockets with the real agent: their bytes, and their files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from banger.errors import HostFailed, PortNotPermitted, PortTaken
from banger.forwards import (
    Endpoint,
    Forward,
    GuestEnd,
    GuestPort,
    GuestSocket,
    HostEnd,
    PortForwards,
    SocketPath,
    close_listener,
    open_listener,
)
from banger.guest import GuestConnection
from tests.support.agent import agent_connection
from tests.support.loopbacks import own_address

ADDRESS = own_address()
PATIENCE_S = 60.0


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say all of it back in capitals, once the client has said its last word."""
    writer.write((await reader.read()).upper())
    writer.close()


@contextlib.asynccontextmanager
async def forwarded(agent_binary: Path, host: HostEnd, guest: GuestEnd) -> AsyncIterator[None]:
    async with agent_connection(agent_binary) as connection:

        async def connect() -> GuestConnection:
            return connection

        async with PortForwards(ADDRESS, connect) as forwards:
            forwards.publish([Forward(host, guest)])
            assert forwards.find_problem(host) is None
            yield


async def say(host: HostEnd, words: bytes) -> bytes:
    """Say something at a place of the host, end it, and return what comes back."""
    if isinstance(host, SocketPath):
        reader, writer = await asyncio.open_unix_connection(host.path)
    else:
        reader, writer = await asyncio.open_connection(host.address, host.port)
    try:
        writer.write(words)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def within_time() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with asyncio.timeout(PATIENCE_S):
            await work()
        assert len(os.listdir("/proc/self/fd")) <= before

    asyncio.run(within_time())


def test_a_socket_of_the_guest_is_reached_at_a_port_and_at_a_path(
    agent_binary: Path, tmp_path: Path
) -> None:
    """Half-close as well: the answer comes after the client's end."""
    inside = str(tmp_path / "inside.sock")

    async def work() -> None:
        async with await asyncio.start_unix_server(shout, inside):
            for host in (Endpoint(ADDRESS, 8080), SocketPath(str(tmp_path / "outside.sock"))):
                async with forwarded(agent_binary, host, GuestSocket(inside)):
                    assert await say(host, b"a" * 1_000_000) == b"A" * 1_000_000
                    answers = await asyncio.gather(*(say(host, b"%d" % n) for n in range(20)))
                    assert answers == [b"%d" % n for n in range(20)]

    run(work)


def test_a_port_of_the_guest_is_reached_at_a_path(agent_binary: Path, tmp_path: Path) -> None:
    host = SocketPath(str(tmp_path / "web.sock"))

    async def work() -> None:
        async with await asyncio.start_server(shout, "::1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with forwarded(agent_binary, host, GuestPort(port)):
                assert await say(host, b"hello") == b"HELLO"

    run(work)


def test_the_file_is_the_users_alone_and_goes_with_its_forward(
    agent_binary: Path, tmp_path: Path
) -> None:
    """G1, A6: whatever the umask is; what somebody has put in its place stays."""
    host = SocketPath(str(tmp_path / "app.sock"))

    async def work() -> None:
        old = os.umask(0)
        try:
            async with forwarded(agent_binary, host, GuestSocket("/nowhere")):
                found = os.lstat(host.path)
                assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
                # Nothing listens in the guest: the client is told so by an end at once.
                with contextlib.suppress(ConnectionResetError):
                    assert await say(host, b"hello") == b""
            assert not os.path.lexists(host.path)
            async with forwarded(agent_binary, host, GuestSocket("/nowhere")):
                os.unlink(host.path)
                Path(host.path).write_text("mine")
            assert Path(host.path).read_text() == "mine"
        finally:
            os.umask(old)

    run(work)


def test_only_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """A6, C6: not one that somebody listens at, also if he accepts nothing, nor another file."""
    path = str(tmp_path / "app.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen(0)
        with pytest.raises(PortTaken, match="Another program listens"):
            open_listener(SocketPath(path))
        with contextlib.ExitStack() as waiting:
            with contextlib.suppress(BlockingIOError):
                while True:
                    client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                    client.setblocking(False)
                    client.connect(path)
            with pytest.raises(PortTaken, match="Another program listens"):
                open_listener(SocketPath(path))
    end = SocketPath(path)
    close_listener(open_listener(end), end)
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(PortTaken, match="exists and is not a socket"):
        open_listener(end)
    assert os.path.islink(path)
    assert not os.path.lexists(tmp_path / "elsewhere")


def test_a_place_that_cannot_be_is_explained(short_dir: Path) -> None:
    """H6."""
    with pytest.raises(HostFailed, match="No such file or directory") as caught:
        open_listener(SocketPath(str(short_dir / "missing" / "app.sock")))
    assert caught.value.hint == f"ls -ld {short_dir}/missing"
    (short_dir / "locked").mkdir(mode=0o500)
    with pytest.raises(PortNotPermitted, match="Permission denied"):
        open_listener(SocketPath(str(short_dir / "locked" / "app.sock")))
