"""Sockets in the guest through the host side, with the real agent: Unix sockets, what listens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from banger.errors import ExecNoSuchUser, GuestProtocolError, GuestRefused, InvalidRequest
from banger.guest import (
    GuestConnection,
    GuestTcp,
    connect_unix,
    listen_tcp,
    listen_unix,
    ping,
)
from banger.guest.codec import FrameType
from banger.guest.fields import Tag, encode_fields, parse_fields, u64
from tests.component.guest.scripted import Agent, frame, play, refusal
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


# --- listening ---


def test_connections_to_a_port_of_the_guest_come_to_the_host(with_agent: Play) -> None:
    """H7: each with its peer; they go on when the listener has gone."""

    async def body(connection: GuestConnection) -> None:
        async with await listen_tcp(connection, "127.0.0.1", 0, deadline_s=D) as listener:
            assert listener.place is not None
            assert listener.path is None
            clients = [await asyncio.open_connection(*listener.place) for _ in range(3)]
            taken = [await listener.accept(deadline_s=D) for _ in clients]
        peers = [client[1].get_extra_info("sockname") for client in clients]
        assert sorted(each.peer for each in taken if each.peer) == sorted(peers)
        await until_refused(listener.place)
        by_peer = {each.peer: each.socket for each in taken}
        for client, peer in zip(clients, peers, strict=True):
            assert await answer_as_echo(by_peer[peer], client) == NOISE

    with_agent(body)


async def until_refused(place: tuple[str, int]) -> None:
    """Return when nobody listens any more: the agent hears of a listener's end a moment later."""
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            with contextlib.suppress(ConnectionResetError):  # as it goes
                _, writer = await asyncio.open_connection(*place)
                writer.close()


async def answer_as_echo(
    guest: GuestTcp, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> bytes:
    """Have the host send back what a client in the guest says; return what the client gets."""
    reader, writer = client

    async def serve() -> None:
        while data := await guest.read():
            await guest.write(data)
        await guest.write_eof()

    async def say() -> None:
        writer.write(NOISE)
        await writer.drain()
        writer.write_eof()

    serving, saying = asyncio.create_task(serve()), asyncio.create_task(say())
    got = await reader.read(-1)
    await asyncio.gather(serving, saying)
    writer.close()
    return got


def test_more_connections_than_may_wait(with_agent: Play) -> None:
    """E2: the agent holds 16; the others wait in the kernel and come in turn."""

    async def body(connection: GuestConnection) -> None:
        async with await listen_tcp(connection, "::1", 0, deadline_s=D) as listener:
            assert listener.place is not None
            clients = [await asyncio.open_connection(*listener.place) for _ in range(40)]
            for _ in clients:
                taken = await listener.accept(deadline_s=D)
                await taken.socket.write(b"hello")
                await taken.socket.write_eof()
            for reader, writer in clients:
                assert await reader.read() == b"hello"
                writer.close()

    with_agent(body)


def test_a_listener_that_ends_resets_what_waits(with_agent: Play) -> None:
    async def body(connection: GuestConnection) -> None:
        async with await listen_tcp(connection, "127.0.0.1", 0, deadline_s=D) as listener:
            assert listener.place is not None
            reader, writer = await asyncio.open_connection(*listener.place)
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()
        again = await listen_tcp(connection, *listener.place, deadline_s=D)
        again.close()

    with_agent(body)


def test_a_unix_socket_is_private_and_removed(with_agent: Play, tmp_path: Path) -> None:
    """G1."""

    async def body(connection: GuestConnection) -> None:
        path, own = tmp_path / "socket", f"{os.getuid()}:{os.getgid()}"
        raw = os.fsencode(path)
        async with await listen_unix(connection, raw, user=own, deadline_s=D) as listener:
            assert (listener.path, listener.place) == (raw, None)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            client = await asyncio.open_unix_connection(path)
            taken = await listener.accept(deadline_s=D)
            assert taken.peer is None
            assert await answer_as_echo(taken.socket, client) == NOISE
        await ping(connection, deadline_s=D)  # the agent has heard that the listener is closed
        assert not path.exists()

    with_agent(body)


def test_a_socket_with_a_directory_of_its_own(with_agent: Play) -> None:
    """G1: only its user can reach it."""

    async def body(connection: GuestConnection) -> None:
        async with await listen_unix(connection, None, deadline_s=D) as listener:
            assert listener.path is not None
            path = Path(os.fsdecode(listener.path))
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            client = await asyncio.open_unix_connection(path)
            taken = await listener.accept(deadline_s=D)
            assert await answer_as_echo(taken.socket, client) == NOISE
        await ping(connection, deadline_s=D)
        assert not path.parent.exists()

    with_agent(body)


def test_a_file_in_the_place_of_the_socket_stays(with_agent: Play, tmp_path: Path) -> None:
    """A6."""

    async def body(connection: GuestConnection) -> None:
        path = tmp_path / "socket"
        async with await listen_unix(connection, os.fsencode(path), deadline_s=D):
            path.rename(tmp_path / "aside")
            path.write_bytes(b"mine")
        await ping(connection, deadline_s=D)
        assert path.read_bytes() == b"mine"

    with_agent(body)


def test_listening_that_is_refused(with_agent: Play, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    (tmp_path / "shut").mkdir(0)

    async def body(connection: GuestConnection) -> None:
        names = {"taken": "in-use", "gone/x": "not-found", "shut/x": "denied"}
        for name, code in names.items():
            with pytest.raises(GuestRefused) as caught:
                await listen_unix(connection, os.fsencode(tmp_path / name), deadline_s=D)
            assert caught.value.guest_code == code
        with pytest.raises(GuestRefused) as caught:
            await listen_tcp(connection, "198.51.100.1", 0, deadline_s=D)
        assert caught.value.guest_code == "unreachable"
        async with await listen_tcp(connection, "127.0.0.1", 0, deadline_s=D) as listener:
            assert listener.place is not None
            with pytest.raises(GuestRefused) as caught:
                await listen_tcp(connection, *listener.place, deadline_s=D)
            assert caught.value.guest_code == "in-use"
        assert (tmp_path / "taken").exists()

    with_agent(body)


def event(*numbers: int, more: bytes = b"") -> bytes:
    """An EVENT of LISTEN with the connections that wait."""
    place = [(Tag.HOST, b"127.0.0.1"), (Tag.PORT, u64(80))]
    waiting = [(Tag.CONNECTION, encode_fields([(Tag.NUMBER, u64(each))])) for each in numbers]
    return frame(FrameType.EVENT, 1, encode_fields([*place, *waiting]) + more)


def test_the_newest_event_says_it_all() -> None:
    """What was taken may be in an event that crossed: it is not taken again."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(event() + event(3, 1) + event(1, 3, 4))
        for number in (1, 3, 4):
            heard = await agent.hear(FrameType.OPEN)
            assert parse_fields(heard.payload[1:]).u64(Tag.NUMBER) == number
            agent.say(event(3, 4) + frame(FrameType.EVENT, heard.stream))

    async def body(connection: GuestConnection) -> None:
        listener = await listen_tcp(connection, "127.0.0.1", 80, deadline_s=D)
        for _ in range(3):
            await listener.accept(deadline_s=D)

    play(script, body)


@pytest.mark.parametrize(
    "lie",
    [
        event(*range(1, 18)),
        event(more=encode_fields([(Tag.CONNECTION, b"no fields")])),
        event(more=encode_fields([(Tag.CONNECTION, b"")])),
        frame(FrameType.EVENT, 1, encode_fields([(Tag.HOST, b"nowhere"), (Tag.PORT, u64(1))])),
        frame(FrameType.EVENT, 1),
    ],
    ids=["too many", "no fields", "no number", "no address", "nothing"],
)
def test_a_guest_that_lies_about_its_listener(lie: bytes) -> None:
    """E2."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(lie)
        await agent.hear(FrameType.CLOSE)

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(GuestProtocolError):
            await listen_tcp(connection, "127.0.0.1", 80, deadline_s=D)

    play(script, body)


def test_a_connection_that_is_gone_leaves_the_listener() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(event(1, 2))
        for answer in (refusal(2, b"not-found"), frame(FrameType.EVENT, 3)):
            await agent.hear(FrameType.OPEN)
            agent.say(answer)

    async def body(connection: GuestConnection) -> None:
        listener = await listen_tcp(connection, "127.0.0.1", 80, deadline_s=D)
        with pytest.raises(GuestRefused):
            await listener.accept(deadline_s=D)
        await listener.accept(deadline_s=D)

    play(script, body)
