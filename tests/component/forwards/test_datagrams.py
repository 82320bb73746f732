"""UDP forwards with the real agent: who gets which answer, what is lost, and what is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from banger.errors import GuestRefused, PortTaken
from banger.forwards import Endpoint, Forward, GuestPort, PortForwards, open_listener
from banger.forwards.datagrams import CONVERSATIONS_MAX, WAITING_BYTES, Conversations
from banger.guest import GuestConnection, GuestUdp, open_udp
from tests.support.agent import agent_connection
from tests.support.loopbacks import free_udp_port, own_address

ADDRESS = own_address()
PORT = free_udp_port()
PATIENCE_S = 60.0


@contextlib.asynccontextmanager
async def echoing(host: str = "127.0.0.1") -> AsyncIterator[tuple[int, set[object]]]:
    """A server in the guest: its port, and the clients that it has seen."""
    clients: set[object] = set()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((host, 0))

        async def echo() -> None:
            loop = asyncio.get_running_loop()
            while True:
                data, client = await loop.sock_recvfrom(sock, 65536)
                clients.add(client)
                await loop.sock_sendto(sock, data, client)

        task = asyncio.create_task(echo())
        try:
            yield sock.getsockname()[1], clients
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def forwarded(
    agent_binary: Path, guest_port: int, address: str = ADDRESS
) -> AsyncIterator[PortForwards]:
    """A UDP port of the guest, published at `PORT` of an address."""
    async with agent_connection(agent_binary) as connection:

        async def connect() -> GuestConnection:
            return connection

        async with PortForwards(ADDRESS, connect) as forwards:
            host = Endpoint(address, PORT, "udp")
            forwards.publish([Forward(host, GuestPort(guest_port, "udp"))])
            assert forwards.find_problem(host) is None
            yield forwards


def client(address: str = ADDRESS) -> socket.socket:
    """A client that hears nobody but whom it talks to."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.connect((address, PORT))
    return sock


async def ask(sock: socket.socket, words: bytes) -> bytes:
    """Say something until there is an answer: a datagram may be lost."""
    loop = asyncio.get_running_loop()
    answer = asyncio.create_task(loop.sock_recv(sock, 65536))
    while not answer.done():
        await loop.sock_sendall(sock, words)
        await asyncio.wait({answer}, timeout=2)
    return answer.result()


async def receive_to_the_end(conversation: GuestUdp) -> None:
    """Receive until that fails: an answer to what was asked again may have come meanwhile."""
    while True:
        await conversation.receive()
        # One that was given up says nothing, at once, until the guest's answer has been read.
        await asyncio.sleep(0.01)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def within_time() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with asyncio.timeout(PATIENCE_S):
            await work()
        assert len(os.listdir("/proc/self/fd")) <= before

    asyncio.run(within_time())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_client_has_a_conversation_of_its_own(agent_binary: Path, host: str) -> None:
    """I1: of either loopback, with datagrams of any size; answers go to who has asked."""

    async def work() -> None:
        async with echoing(host) as (port, seen), forwarded(agent_binary, port):
            with client() as one, client() as other:
                for size in (1, 1400, 65507):
                    assert await ask(one, b"1" * size) == b"1" * size
                assert await ask(other, b"other") == b"other"
                assert await ask(one, b"one again") == b"one again"
            assert len(seen) == 2

    run(work)


@pytest.mark.parametrize(
    ("bound", "asked"), [("0.0.0.0", "127.0.0.9"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")]
)
def test_an_answer_comes_from_the_address_that_was_asked(
    agent_binary: Path, bound: str, asked: str
) -> None:
    """I2: a client drops what comes from another address of the host."""

    async def work() -> None:
        async with echoing() as (port, _), forwarded(agent_binary, port, bound):
            with client(asked) as sock:
                assert await ask(sock, b"who is it") == b"who is it"

    run(work)


def test_more_clients_than_conversations_are_served_in_turn(agent_binary: Path) -> None:
    """E2: the one that was used least recently makes room, and can come back."""

    async def work() -> None:
        async with echoing() as (port, _), forwarded(agent_binary, port) as forwards:
            with contextlib.ExitStack() as open_clients:
                clients = [open_clients.enter_context(client()) for _ in range(40)]
                for number, sock in enumerate(clients):
                    assert await ask(sock, b"%d" % number) == b"%d" % number
                    assert len(forwards._conversations) <= CONVERSATIONS_MAX
                assert await ask(clients[0], b"again") == b"again"
                assert len(forwards._conversations) == CONVERSATIONS_MAX

    run(work)


def test_silence_ends_a_conversation(agent_binary: Path) -> None:
    """C5: its process in the guest ends as well; the client only asks again."""

    async def work() -> None:
        opened: list[GuestUdp] = []
        async with echoing() as (port, seen), agent_connection(agent_binary) as connection:

            async def open_one() -> GuestUdp:
                opened.append(await open_udp(connection, None, port, deadline_s=None))
                return opened[-1]

            # Longer than `ask` waits before it asks again: no conversation ends while it asks.
            conversations = Conversations(idle_s=3)
            door = Endpoint(ADDRESS, PORT, "udp")
            with open_listener(door) as sock, client() as asking:
                serving = asyncio.create_task(conversations.serve(sock, open_one))
                for _ in range(2):
                    assert await ask(asking, b"hello") == b"hello"
                    while len(conversations):  # noqa: ASYNC110 - nothing tells of it
                        await asyncio.sleep(0.01)
                    with pytest.raises(GuestRefused, match="the stream was closed"):
                        await receive_to_the_end(opened[-1])
                assert len(seen) >= 2
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)

    run(work)


def test_what_a_client_says_while_the_guest_is_paused_is_bounded(agent_binary: Path) -> None:
    """E2: the rest is lost, as on a network; what waited is passed on."""

    async def work() -> None:
        may_open = asyncio.Event()
        async with echoing() as (port, _), agent_connection(agent_binary) as connection:

            async def open_late() -> GuestUdp:
                await may_open.wait()
                return await open_udp(connection, None, port, deadline_s=None)

            conversations = Conversations()
            with open_listener(Endpoint(ADDRESS, PORT, "udp")) as sock, client() as asking:
                serving = asyncio.create_task(conversations.serve(sock, open_late))
                for _ in range(500):
                    await asyncio.get_running_loop().sock_sendall(asking, bytes(9000))
                    await asyncio.sleep(0)
                (conversation,) = conversations._by_client.values()
                assert WAITING_BYTES - 9000 < conversation._waiting_bytes <= WAITING_BYTES
                may_open.set()
                assert await asyncio.get_running_loop().sock_recv(asking, 65536) == bytes(9000)
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)

    run(work)


def test_a_port_for_datagrams_goes_and_comes_back(agent_binary: Path) -> None:
    """I3, C6: no conversation outlives its port; the same number is had again."""

    async def work() -> None:
        async with echoing() as (port, _), forwarded(agent_binary, port) as forwards:
            host = Endpoint(ADDRESS, PORT, "udp")
            with client() as sock:
                assert await ask(sock, b"before") == b"before"
                with pytest.raises(PortTaken, match=f"{ADDRESS}:{PORT}/udp"):
                    open_listener(host)
                forwards.publish([])
                while True:
                    with contextlib.suppress(PortTaken):
                        open_listener(host).close()
                        break
                    await asyncio.sleep(0.01)
                assert len(forwards._conversations) == 0
                forwards.publish([Forward(host, GuestPort(port, "udp"))])
                assert await ask(sock, b"after") == b"after"

    run(work)


def test_the_end_of_the_vm_ends_its_conversations(agent_binary: Path) -> None:
    async def work() -> None:
        async with echoing() as (port, _):
            async with forwarded(agent_binary, port):
                sock = client()
                assert await ask(sock, b"hello") == b"hello"
            with sock:
                await asyncio.get_running_loop().sock_sendall(sock, b"gone")
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.get_running_loop().sock_recv(sock, 10)

    run(work)
