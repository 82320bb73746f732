"""Datagrams to ports of the guest through the host side, with the real agent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from banger.errors import GuestProtocolError, GuestRefused, InvalidRequest
from banger.guest import GuestConnection, GuestUdp, open_udp
from banger.guest.codec import FrameType
from tests.component.guest.scripted import Agent, frame, play, refusal
from tests.support.agent import agent_connection

D = 20.0
SIZES = (0, 1, 1400, 9000, 65507)


@contextlib.asynccontextmanager
async def echoing(address: str, port: int = 0) -> AsyncIterator[tuple[int, set[object]]]:
    """A server that sends each datagram back: its port, and the clients that it has seen."""
    clients: set[object] = set()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.setblocking(False)
        server.bind((address, port))

        async def echo() -> None:
            loop = asyncio.get_running_loop()
            while True:
                data, client = await loop.sock_recvfrom(server, 65536)
                clients.add(client)
                await loop.sock_sendto(server, data, client)

        task = asyncio.create_task(echo())
        try:
            yield server.getsockname()[1], clients
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_datagrams_keep_their_bounds(agent_binary: Path, address: str) -> None:
    """H7: also empty and the largest ones; each conversation has a port of its own."""

    async def body(connection: GuestConnection) -> None:
        async with (
            echoing(address) as (port, clients),
            await open_udp(connection, address, port, deadline_s=D) as one,
            await open_udp(connection, address, port, deadline_s=D) as other,
        ):
            for size in SIZES:
                assert await one.send(b"x" * size)
                assert await one.receive() == b"x" * size
            await other.send(b"other")
            assert await other.receive() == b"other"
            assert len(clients) == 2

    run(agent_binary, body)


def test_what_nobody_takes_is_lost_and_no_more(agent_binary: Path) -> None:
    """A refused datagram, and one that is too large for IP, end nothing."""

    async def body(connection: GuestConnection) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        async with await open_udp(connection, "127.0.0.1", port, deadline_s=D) as guest:
            for _ in range(3):
                assert await guest.send(b"to nobody")
            assert await guest.send(b"x" * 65535)
            async with echoing("127.0.0.1", port), asyncio.timeout(D):
                hearing = asyncio.create_task(hear(guest, b"at last"))
                while not hearing.done():
                    await guest.send(b"at last")
                    await asyncio.wait({hearing}, timeout=0.05)
        with pytest.raises(InvalidRequest):
            await guest.send(bytes(65536))

    run(agent_binary, body)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_without_a_host_datagrams_go_where_they_are_taken(agent_binary: Path, address: str) -> None:
    """I1: to either loopback, also when the server moves to the other one."""

    async def body(connection: GuestConnection) -> None:
        async with echoing(address) as (port, _):
            guest = await open_udp(connection, None, port, deadline_s=D)
            for word in (b"one", b"two"):
                assert await guest.send(word)
                assert await guest.receive() == word
        other = "::1" if address == "127.0.0.1" else "127.0.0.1"
        async with guest, echoing(other, port), asyncio.timeout(D):
            hearing = asyncio.create_task(hear(guest, b"moved"))
            while not hearing.done():
                await guest.send(b"moved")
                await asyncio.wait({hearing}, timeout=0.05)

    run(agent_binary, body)


async def hear(guest: GuestUdp, wanted: bytes) -> None:
    """Return when a datagram has come."""
    while await guest.receive() != wanted:
        pass


def run(agent_binary: Path, body: Callable[[GuestConnection], Awaitable[None]]) -> None:
    """Run a test's body on a connection to an agent of its own."""

    async def play_it() -> None:
        async with asyncio.timeout(60), agent_connection(agent_binary) as connection:
            await body(connection)

    asyncio.run(play_it())


def test_a_conversation_ends_with_the_guest_s_word() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(frame(FrameType.EVENT, 1))
        agent.say(frame(FrameType.DATA, 1, b"\x02\0\0\0ab\x01\0", channel=1))
        agent.say(frame(FrameType.DATA, 1, b"\0\0c", channel=1))
        agent.say(frame(FrameType.EOF, 1, channel=1))

    async def body(connection: GuestConnection) -> None:
        guest = await open_udp(connection, "127.0.0.1", 53, deadline_s=D)
        assert [await guest.receive() for _ in range(3)] == [b"ab", b"c", None]

    play(script, body)


def test_a_guest_that_lies_about_a_datagram() -> None:
    """E2."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(frame(FrameType.EVENT, 1))
        agent.say(frame(FrameType.DATA, 1, struct.pack("<I", 65536), channel=1))

    async def body(connection: GuestConnection) -> None:
        guest = await open_udp(connection, "127.0.0.1", 53, deadline_s=D)
        with pytest.raises(GuestProtocolError):
            await guest.receive()

    play(script, body)


def test_an_older_agent_has_no_udp() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(refusal(1, b"bad-request"))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(GuestRefused, match="older banger, which cannot relay UDP"):
            await open_udp(connection, "127.0.0.1", 53, deadline_s=D)

    play(script, body)
