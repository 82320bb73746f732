"""Port forwards with the real agent: bytes, ends and resets both ways, and no descriptor left."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from banger.errors import PortTaken
from banger.forwards import (
    Endpoint,
    Forward,
    GuestPort,
    GuestSocket,
    PortForwards,
    connect_guest_port,
)
from banger.forwards.connecting import connect_guest_end
from banger.forwards.relay import relay
from banger.guest import ExecSpec, GuestConnection, GuestTcp, start_exec
from banger.guest import run as guest_run
from tests.support.agent import agent_connection

ADDRESS = "127.77.254.1"
"""Of no VM that a test makes by chance: the agent is a process of this host."""
PATIENCE_S = 60.0
RESET = struct.pack("ii", 1, 0)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def guest_server(serve: Serve, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server in the guest; its port."""

    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, host, 0, backlog=2000)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def forwarded(
    agent_binary: Path, *ports: int, hosts: tuple[str, ...] = ("127.0.0.1", "::1")
) -> AsyncIterator[PortForwards]:
    """Ports of the guest at the address."""
    async with agent_connection(agent_binary) as connection:

        async def connect() -> GuestConnection:
            return connection

        async with PortForwards(ADDRESS, connect) as forwards:
            forwards.publish(
                Forward(Endpoint(ADDRESS, port), GuestPort(port, hosts=hosts)) for port in ports
            )
            yield forwards


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def within_time() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await work()

    asyncio.run(within_time())


async def open_client(port: int, host: str = ADDRESS) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except OSError:
        sock.close()
        raise
    return sock


async def read_to_end(sock: socket.socket) -> bytes:
    loop, found = asyncio.get_running_loop(), bytearray()
    while data := await loop.sock_recv(sock, 65536):
        found += data
    return bytes(found)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


async def until_still(read: Callable[[], int]) -> None:
    """Wait until a number has not changed for a while."""
    same, before = 0, -1
    while same < 50:
        same, before = (same + 1, before) if read() == before else (0, read())
        await asyncio.sleep(0.02)


@pytest.fixture
def is_leaving_no_descriptor() -> Iterator[None]:
    before = count_descriptors()
    yield
    assert count_descriptors() <= before


pytestmark = pytest.mark.usefixtures("is_leaving_no_descriptor")


def test_the_end_of_one_direction_leaves_the_other_open(agent_binary: Path) -> None:
    """Half-close: the server answers after the client's end, with a checksum of what came."""
    sent = os.urandom(3_000_000)

    async def digest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome\n")
        writer.write(hashlib.sha256(await reader.read()).digest())

    async def work() -> None:
        async with guest_server(digest) as port, forwarded(agent_binary, port):
            with await open_client(port) as client:
                await asyncio.get_running_loop().sock_sendall(client, sent)
                client.shutdown(socket.SHUT_WR)
                answer = await read_to_end(client)
            assert answer == b"welcome\n" + hashlib.sha256(sent).digest()

    run(work)


def test_the_servers_end_leaves_the_clients_direction_open(agent_binary: Path) -> None:
    """Half-close, the other way round."""
    heard = asyncio.Queue[bytes]()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"say on")
        writer.write_eof()
        heard.put_nowait(await reader.read())

    async def work() -> None:
        async with guest_server(listen) as port, forwarded(agent_binary, port):
            with await open_client(port) as client:
                assert await read_to_end(client) == b"say on"
                await asyncio.get_running_loop().sock_sendall(client, b"x" * 1_000_000)
                client.shutdown(socket.SHUT_WR)
                assert len(await heard.get()) == 1_000_000

    run(work)


def test_what_does_not_listen_any_more_is_reset_at_once(agent_binary: Path) -> None:
    """I2: no client waits for a server that is not there."""

    async def work() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            async with forwarded(agent_binary, port):
                with await open_client(port) as client:
                    with pytest.raises(ConnectionResetError):
                        await read_to_end(client)

    run(work)


@pytest.mark.parametrize("has_ended", [False, True], ids=["at once", "after the server's end"])
def test_a_reset_by_the_client_is_one_for_the_server(agent_binary: Path, has_ended: bool) -> None:
    """A broken upload must not look like a whole one."""
    heard = asyncio.Queue[bytes | None]()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if has_ended:
            writer.write_eof()
        try:
            while data := await reader.read(10):
                heard.put_nowait(data)
            heard.put_nowait(b"an end")
        except ConnectionResetError:
            heard.put_nowait(None)

    async def work() -> None:
        async with guest_server(listen) as port, forwarded(agent_binary, port):
            client = await open_client(port)
            if has_ended:
                assert await read_to_end(client) == b""
            await asyncio.get_running_loop().sock_sendall(client, b"hello")
            assert await heard.get() == b"hello"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
            assert await heard.get() is None

    run(work)


@pytest.mark.parametrize("has_ended", [False, True], ids=["at once", "after the client's end"])
def test_a_reset_by_the_server_is_one_for_the_client(agent_binary: Path, has_ended: bool) -> None:
    """A broken download must not look like a whole one; what came before it arrives."""

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1 if has_ended else 1)
        writer.write(b"half an answer")
        await writer.drain()
        await may_break.wait()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    may_break = asyncio.Event()

    async def work() -> None:
        async with guest_server(break_off) as port, forwarded(agent_binary, port):
            with await open_client(port) as client:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, b"x")
                if has_ended:
                    client.shutdown(socket.SHUT_WR)
                assert await loop.sock_recv(client, 100) == b"half an answer"
                may_break.set()
                with pytest.raises(ConnectionResetError):
                    await loop.sock_recv(client, 1)

    run(work)


def test_what_was_sent_before_an_end_arrives_whole(agent_binary: Path, tmp_path: Path) -> None:
    """Both directions have ended for the host while the guest's server still takes its time.

    A Unix socket: its buffers do not grow.
    """

    async def work() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far, socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "server.sock"))
            server.listen()
            for sock in (near, server):
                sock.setblocking(False)
            far.shutdown(socket.SHUT_WR)
            async with agent_connection(agent_binary) as connection:
                guest_end = GuestSocket(str(tmp_path / "server.sock"))
                tcp = await connect_guest_end(connection, guest_end)
                peer, _ = await loop.sock_accept(server)
                with peer:
                    peer.shutdown(socket.SHUT_WR)
                    sent, last = await fill(tcp)
                    heard = 0
                    # The agent still holds about half of its window then.
                    while not (await asyncio.wait({last}, timeout=0.05))[0]:
                        heard += len(await loop.sock_recv(peer, 10_000))
                    relaying = asyncio.create_task(relay(near, tcp))
                    await asyncio.sleep(0.2)
                    heard += len(await read_to_end(peer))
                await relaying
                assert heard == sent

    run(work)


async def fill(tcp: GuestTcp) -> tuple[int, asyncio.Task[bool]]:
    """Send what a server that does not read, and the agent, take; how much, and a write more."""
    sent = 0
    while True:
        sent += 10_000
        writing = asyncio.create_task(tcp.write(bytes(10_000)))
        if not (await asyncio.wait({writing}, timeout=1))[0]:
            return sent, writing


def test_a_server_that_closes_early_has_its_answer_read_first(agent_binary: Path) -> None:
    """As a web server that refuses a body: the answer arrives, then the client is reset."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"too big")
        await writer.drain()

    async def work() -> None:
        async with guest_server(refuse) as port, forwarded(agent_binary, port):
            with await open_client(port) as client:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, b"x")
                assert await loop.sock_recv(client, 7) == b"too big"
                with pytest.raises((ConnectionResetError, BrokenPipeError)):
                    await loop.sock_sendall(client, bytes(100_000_000))

    run(work)


def test_a_reader_that_is_slow_holds_up_the_sender(agent_binary: Path) -> None:
    """E2: 200 MB for a client that does not read stay in the guest, and come when it does."""
    sent = 0
    blocks = [b"%08d" % number * 8192 for number in range(3200)]

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for block in blocks:
            writer.write(block)
            await writer.drain()
            sent += len(block)

    async def work() -> None:
        async with guest_server(flood) as port, forwarded(agent_binary, port):
            with await open_client(port) as slow, await open_client(port) as quick:
                await until_still(lambda: sent)
                assert sent < 40_000_000
                for client in (quick, slow):
                    assert await read_to_end(client) == b"".join(blocks)

    run(work)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "127.0.0.9"])
def test_a_server_on_one_loopback_address_is_reached(agent_binary: Path, host: str) -> None:
    """I1, I2: also on ::1 alone, and through its listener's own address."""

    async def work() -> None:
        async with guest_server(echo, host) as port:
            hosts = ("127.0.0.1", "::1", "127.0.0.9")
            async with forwarded(agent_binary, port, hosts=hosts):
                with await open_client(port) as client:
                    await asyncio.get_running_loop().sock_sendall(client, b"ping")
                    client.shutdown(socket.SHUT_WR)
                    assert await read_to_end(client) == b"ping"
            if host != "127.0.0.9":
                async with agent_connection(agent_binary) as connection:
                    async with await connect_guest_port(connection, port) as tcp:
                        await tcp.write(b"pong")
                        await tcp.write_eof()
                        assert await tcp.read() == b"pong"

    run(work)


def test_listeners_come_and_go(agent_binary: Path) -> None:
    """What listens in the guest appears; what does not any more is refused, not reset."""

    async def work() -> None:
        async with guest_server(echo) as port, forwarded(agent_binary) as forwards:
            forwards.mirror(frozenset({("127.0.0.1", port)}))
            found = forwards.find_mirror(port)
            assert found is not None and found.problem is None
            assert found.host == Endpoint(ADDRESS, port)
            client = await open_client(port)
            await asyncio.get_running_loop().sock_sendall(client, b"a")
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b"a"
            forwards.mirror(frozenset())
            assert forwards.find_mirror(port) is None
            await asyncio.sleep(0)  # the task that closes the socket
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                await open_client(port)
            # A connection that is open goes on, as it does in the guest.
            await asyncio.get_running_loop().sock_sendall(client, b"b")
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b"b"
            client.close()

    run(work)


def test_a_port_that_the_host_uses_is_opened_when_it_is_free(agent_binary: Path) -> None:
    async def work() -> None:
        async with guest_server(echo) as port, forwarded(agent_binary) as forwards:
            with socket.socket() as other:
                other.bind((ADDRESS, port))
                other.listen()
                forwards.mirror(frozenset({("127.0.0.1", port)}))
                found = forwards.find_mirror(port)
                assert found is not None and isinstance(found.problem, PortTaken)
            await until(lambda: (s := forwards.find_mirror(port)) is not None and not s.problem)
            (await open_client(port)).close()

    run(work)


def test_three_hundred_connections_at_once(agent_binary: Path) -> None:
    """Each gets its own bytes back; those beyond the limit wait their turn."""

    async def talk(port: int, number: int) -> None:
        with await open_client(port) as client:
            loop, words = asyncio.get_running_loop(), b"%06d" % number * 3000
            await loop.sock_sendall(client, words)
            client.shutdown(socket.SHUT_WR)
            assert await read_to_end(client) == words

    async def work() -> None:
        async with guest_server(echo) as port, forwarded(agent_binary, port):
            await asyncio.gather(*(talk(port, number) for number in range(300)))

    run(work)


def test_a_thousand_connections_are_open_while_commands_run(agent_binary: Path) -> None:
    """Each is served while all are open, and no number of them keeps a command from running."""

    async def talk(client: socket.socket, words: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, words)
        assert await loop.sock_recv(client, 100) == words

    async def work() -> None:
        async with guest_server(echo) as port, agent_connection(agent_binary) as connection:

            async def connect() -> GuestConnection:
                return connection

            async with PortForwards(ADDRESS, connect) as forwards:
                forwards.publish([Forward(Endpoint(ADDRESS, port), GuestPort(port))])
                with contextlib.ExitStack() as stack:
                    clients = []
                    for number in range(1000):
                        clients.append(stack.enter_context(await open_client(port)))
                        await talk(clients[-1], b"first %d" % number)
                    for _ in range(3):
                        done = await guest_run(connection, [b"echo", b"served"], deadline_s=20)
                        assert done.untrusted_stdout == b"served\n"
                    async with await start_exec(
                        connection, ExecSpec((b"true",)), deadline_s=20
                    ) as process:
                        assert (await process.wait()).status == 0
                    await asyncio.gather(
                        *(talk(each, b"again %d" % number) for number, each in enumerate(clients))
                    )

    run(work)


def test_the_end_of_the_vm_resets_its_connections(agent_binary: Path) -> None:
    """H2: nobody waits for a guest that is gone."""

    async def work() -> None:
        async with guest_server(echo) as port:
            async with forwarded(agent_binary, port):
                client = await open_client(port)
                await asyncio.get_running_loop().sock_sendall(client, b"a")
                assert await asyncio.get_running_loop().sock_recv(client, 1) == b"a"
            with client, pytest.raises(ConnectionResetError):
                await read_to_end(client)
            with pytest.raises(ConnectionRefusedError):
                await open_client(port)

    run(work)
