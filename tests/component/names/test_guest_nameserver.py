"""The nameserver of guests: their names, others' by the host's nameservers, and what guests try."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import IPv4Network, IPv6Network

import pytest

from banger.names.dns import Addresses, GuestNameserver
from banger.names.dns.nameserver import GUEST_MAX
from banger.names.dns.upstream import Server, parse_nameservers
from tests.component.names.fronts import run

NETWORKS = (IPv4Network("127.0.0.0/16"), IPv6Network("fd62:616e:6765:7200::/64"))
"""Clients of this host's loopback stand in for guests."""
ONE6 = "fd62:616e:6765:7200::a4d:105"
ADDRESSES = {"one": ("127.0.4.5", ONE6), "old": ("127.0.4.6",), "host": ("127.0.0.1",)}
REVERSE6 = "5.0.1.0.d.4.a.0.0.0.0.0.0.0.0.0.0.0.2.7.5.6.7.6.e.6.1.6.2.6.d.f.ip6.arpa"
A, PTR, AAAA, ANY = b"\0\1", b"\0\x0c", b"\0\x1c", b"\0\xff"
OUTSIDE = "outside.example"
NOBODY = ("127.0.0.1", 1)
Reply = Callable[[bytes], bytes]


def query_for(name: str, kind: bytes = A, *, number: bytes = b"\x12\x34") -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return number + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0" + kind + b"\0\1"


def echo(query: bytes) -> bytes:
    """Answer with the query itself, as an answer."""
    return query[:2] + b"\x81\x80" + query[4:]


@contextlib.asynccontextmanager
async def serving(*servers: Server) -> AsyncIterator[Server]:
    """A nameserver that asks these; its address."""

    async def load() -> Addresses:
        return ADDRESSES

    async with GuestNameserver(NETWORKS, load, load_servers=lambda: servers) as names:
        udp, tcp = open_pair()
        names.serve(udp, tcp)
        yield udp.getsockname()


def open_pair() -> tuple[socket.socket, socket.socket]:
    """Return sockets of UDP and TCP with one port."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        for each in (udp, tcp):
            each.setblocking(False)
        return udp, tcp


@contextlib.asynccontextmanager
async def upstream(*replies: Reply) -> AsyncIterator[Server]:
    """A nameserver of the host that sends all of this to each query, by UDP and TCP."""
    loop, (udp, tcp) = asyncio.get_running_loop(), open_pair()

    async def answer_udp() -> None:
        while True:
            query, client = await loop.sock_recvfrom(udp, 4096)
            for reply in replies:
                await loop.sock_sendto(udp, reply(query), client)

    async def answer_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        for reply in replies:
            writer.write(len(reply(query)).to_bytes(2, "big") + reply(query))
        writer.close()

    answering = asyncio.create_task(answer_udp())
    async with await asyncio.start_server(answer_tcp, sock=tcp):
        with udp:
            yield udp.getsockname()
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


@contextlib.contextmanager
def guest(address: str = "127.0.0.9") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((address, 0))
        yield sock


async def ask(server: Server, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with guest() as sock:
        await loop.sock_sendto(sock, query, server)
        return await loop.sock_recv(sock, 4096)


async def ask_by_tcp(server: Server, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    writer.write(len(query).to_bytes(2, "big") + query)
    answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    writer.close()
    await writer.wait_closed()
    return answer


def read(answer: bytes) -> tuple[int, int, bytes]:
    """Return the code of an answer, how many records answer, and its end."""
    return answer[3] & 15, int.from_bytes(answer[6:8], "big"), answer[-4:]


def test_names_of_vms_are_answered_and_nobody_else_is_asked() -> None:
    """E4: names that there are not, too; and addresses that VMs have on the host are no guest's."""

    async def work() -> None:
        async with serving(NOBODY) as server:
            one = socket.inet_aton("127.0.4.5")
            for each in (ask, ask_by_tcp):
                assert read(await each(server, query_for("one.vm"))) == (0, 1, one)
            assert read(await ask(server, query_for("ONE.Vm")))[2] == one
            assert read(await ask(server, query_for("old.vm", AAAA)))[:2] == (0, 0)
            assert read(await ask(server, query_for("two.vm")))[:2] == (3, 0)
            host = socket.inet_aton("127.0.0.1")
            assert read(await ask(server, query_for("host.vm"))) == (0, 1, host)
            found = await ask(server, query_for("5.4.0.127.in-addr.arpa", PTR))
            assert found.endswith(b"\3one\2vm\0")
            assert read(await ask(server, query_for("1.2.77.127.in-addr.arpa", PTR)))[:2] == (5, 0)

    run(work)


def test_names_of_vms_have_their_addresses_of_ipv6() -> None:
    """E4: also those that there are not are asked of nobody else."""

    async def work() -> None:
        async with serving(NOBODY) as server:
            found = await ask(server, query_for("one.vm", AAAA))
            assert read(found)[:2] == (0, 1)
            assert found.endswith(b"\0\x10" + socket.inet_pton(socket.AF_INET6, ONE6))
            assert read(await ask(server, query_for("one.vm", ANY)))[:2] == (0, 2)
            assert (await ask(server, query_for(REVERSE6, PTR))).endswith(b"\3one\2vm\0")
            assert read(await ask(server, query_for(REVERSE6[2:], PTR)))[:2] == (0, 0)
            assert read(await ask(server, query_for("6" + REVERSE6[1:], PTR)))[:2] == (3, 0)

    run(work)


def test_other_names_are_the_hosts_nameservers_to_answer() -> None:
    """The first that answers; with the guest's number, by UDP and by TCP."""

    async def work() -> None:
        async with upstream(echo) as good, serving(NOBODY, good) as server:
            for each in (ask, ask_by_tcp):
                query = query_for(OUTSIDE)
                assert await each(server, query) == echo(query)
        async with serving(NOBODY) as server:
            for each in (ask, ask_by_tcp):
                assert read(await each(server, query_for(OUTSIDE)))[:2] == (2, 0)

    run(work)


def test_what_answers_another_query_is_not_passed_on() -> None:
    """Another number, another question, a query, and rubbish come before the answer."""

    def other_number(query: bytes) -> bytes:
        return bytes([query[0] ^ 1]) + echo(query)[1:]

    def other_question(query: bytes) -> bytes:
        return echo(query).replace(b"outside", b"elsewhe")

    async def work() -> None:
        hostile = (lambda _: b"", lambda query: query, other_number, other_question)
        async with upstream(*hostile, echo) as server, serving(server) as names:
            assert await ask(names, query_for(OUTSIDE)) == echo(query_for(OUTSIDE))
        for reply in hostile:
            async with upstream(reply) as server, serving(server) as names:
                assert read(await ask_by_tcp(names, query_for(OUTSIDE)))[0] == 2

    run(work)


def test_a_guest_that_floods_takes_nothing_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: queries that nobody answers are under way for some, and lost beyond."""

    monkeypatch.setattr("banger.names.dns.upstream.DEADLINE_S", 600.0)

    async def work() -> None:
        asked: list[bytes] = []

        def count(query: bytes) -> bytes:
            asked.append(query)
            return b""

        loop = asyncio.get_running_loop()
        async with upstream(count) as silent, serving(silent) as names:
            with guest() as flooding, guest("127.0.0.10") as other:
                for _ in range(GUEST_MAX + 20):
                    await loop.sock_sendto(flooding, query_for(OUTSIDE), names)
                await loop.sock_sendto(other, query_for("one.vm"), names)
                assert read(await loop.sock_recv(other, 512))[:2] == (0, 1)
                assert len(asked) <= GUEST_MAX

    run(work)


def test_whoever_is_of_another_network_is_not_answered() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with serving(NOBODY) as names:
            with guest("127.5.0.1") as stranger:
                await loop.sock_sendto(stranger, query_for("one.vm"), names)
                assert read(await ask(names, query_for("one.vm")))[:2] == (0, 1)
                reader, writer = await asyncio.open_connection(*names, local_addr=("127.5.0.1", 0))
                writer.write(b"\0\x18" + query_for("one.vm"))
                assert await reader.read() == b""
                writer.close()
                with contextlib.suppress(BlockingIOError):
                    raise AssertionError(stranger.recv(512))

    run(work)


def test_nameservers_are_those_of_the_hosts_programs() -> None:
    text = "# some\nnameserver 127.0.0.53\noptions edns0\nnameserver\nnameserver x\n"
    assert parse_nameservers(text) == (("127.0.0.53", 53),)
    many = "".join(f"nameserver 192.0.2.{each} # text\n" for each in range(4))
    assert parse_nameservers("nameserver fd00::1\n" + many) == (
        ("fd00::1", 53),
        ("192.0.2.0", 53),
        ("192.0.2.1", 53),
    )
