"""The DNS server: dig by UDP and TCP, and what no resolver sends."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from banger.names.dns import Addresses, DnsServer
from tests.component.names.fronts import ADDRESSES, run
from tests.support.loopbacks import free_front_port

pytestmark = pytest.mark.skipif(shutil.which("dig") is None, reason="this host has no dig")

SOA = "localhost. localhost. 1 3600 600 86400 1"
A_QUERY = bytes.fromhex("1234 0100 0001 0000 0000 0000 03 6f6e65 02 766d 00 0001 0001")


@contextlib.asynccontextmanager
async def open_dns() -> AsyncIterator[int]:
    """A server that knows these VMs; its port."""

    async def load() -> Addresses:
        return ADDRESSES

    async with DnsServer(load) as dns:
        await dns.listen(free_front_port())
        assert dns.port is not None, dns.problem
        yield dns.port


async def dig(port: int, *words: str) -> tuple[str, list[str], list[str]]:
    """Return the code, the answers and the authority of what dig gets."""
    command = ["dig", "@127.0.0.1", "-p", str(port), "+norec", "+tries=1", "+time=30", *words]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    assert "warning" not in done.stdout.lower(), done.stdout
    found: dict[str, list[str]] = {}
    section, code = "", ""
    for line in done.stdout.splitlines():
        if line.startswith(";; ->>HEADER"):
            code = line.partition("status: ")[2].partition(",")[0]
        elif line.startswith(";;"):
            section = line.split()[1] if "SECTION" in line else ""
        elif line and not line.startswith(";"):
            found.setdefault(section, []).append(" ".join(line.split()))
    return code, found.get("ANSWER", []), found.get("AUTHORITY", [])


CASES = {
    ("one.vm", "A"): ("NOERROR", ["one.vm. 5 IN A 127.77.1.2"], []),
    ("ONE.vM", "A"): ("NOERROR", ["ONE.vM. 5 IN A 127.77.1.2"], []),
    ("stopped.vm", "ANY"): ("NOERROR", ["stopped.vm. 5 IN A 127.77.255.1"], []),
    ("one.vm", "AAAA"): ("NOERROR", [], [f"vm. 1 IN SOA {SOA}"]),
    ("one.vm", "MX"): ("NOERROR", [], [f"vm. 1 IN SOA {SOA}"]),
    ("one.vm", "HTTPS"): ("NOERROR", [], [f"vm. 1 IN SOA {SOA}"]),
    ("three.vm", "A"): ("NXDOMAIN", [], [f"vm. 1 IN SOA {SOA}"]),
    ("a.one.vm", "A"): ("NXDOMAIN", [], [f"vm. 1 IN SOA {SOA}"]),
    ("vm", "SOA"): ("NOERROR", [f"vm. 5 IN SOA {SOA}"], []),
    ("vm", "NS"): ("NOERROR", [], [f"vm. 1 IN SOA {SOA}"]),
    ("check.banger.vm", "A"): ("NOERROR", ["check.banger.vm. 5 IN A 127.77.0.0"], []),
    ("banger.vm", "A"): ("NOERROR", [], [f"vm. 1 IN SOA {SOA}"]),
    ("2.1.77.127.in-addr.arpa", "PTR"): (
        "NOERROR",
        ["2.1.77.127.in-addr.arpa. 5 IN PTR one.vm."],
        [],
    ),
    ("3.1.77.127.in-addr.arpa", "PTR"): (
        "NXDOMAIN",
        [],
        [f"77.127.in-addr.arpa. 1 IN SOA {SOA}"],
    ),
    ("1.77.127.in-addr.arpa", "PTR"): (
        "NOERROR",
        [],
        [f"77.127.in-addr.arpa. 1 IN SOA {SOA}"],
    ),
    ("example.com", "A"): ("REFUSED", [], []),
    ("one.vm.example.com", "A"): ("REFUSED", [], []),
    ("1.0.0.127.in-addr.arpa", "PTR"): ("REFUSED", [], []),
    (".", "NS"): ("REFUSED", [], []),
}


@pytest.mark.parametrize("way", [("+notcp",), ("+tcp",), ("+noedns", "+notcp"), ("+dnssec",)])
def test_dig_gets_what_the_zones_have(way: tuple[str, ...]) -> None:
    """E4: addresses of VMs and their names; nothing else, and at once."""

    async def work() -> None:
        async with open_dns() as port:
            for (name, kind), (code, answers, authority) in CASES.items():
                found = await dig(port, *way, name, kind)
                assert found == (code, answers, authority), (name, kind, found)

    run(work)


def test_other_classes_operations_and_versions_are_refused() -> None:
    async def work() -> None:
        async with open_dns() as port:
            assert (await dig(port, "-c", "CH", "version.bind", "TXT"))[0] == "REFUSED"
            assert (await dig(port, "+noedns", "+opcode=notify", "one.vm", "SOA"))[0] == "NOTIMP"
            assert (await dig(port, "+edns=7", "+noednsnegotiation", "one.vm"))[0] == "BADVERS"

    run(work)


async def send(port: int, data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, ("127.0.0.1", port))


MALFORMED = [
    A_QUERY[:-1],
    A_QUERY + b"\x00",
    A_QUERY[:5] + b"\x00" + A_QUERY[6:],
    A_QUERY[:5] + b"\x02" + A_QUERY[6:],
    A_QUERY[:12] + b"\xc0\x0c\x00\x01\x00\x01",
    A_QUERY[:12] + b"\x3fa" * 140 + b"\x00\x00\x01\x00\x01",
    A_QUERY[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\x00\x00\x01\x00\x01",
    A_QUERY[:11] + b"\x05" + A_QUERY[12:],
    A_QUERY[:11] + b"\x01" + A_QUERY[12:],
    A_QUERY[:11] + b"\x02" + A_QUERY[12:] + b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00" * 2,
    A_QUERY[:11] + b"\x01" + A_QUERY[12:] + b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\xff\xff",
]


def test_malformed_queries_get_a_format_error_or_nothing() -> None:
    """E2, as of a guest that could send here: bounded, and the next query is answered."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with open_dns() as port:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.connect(("127.0.0.1", port))
                for silent in (b"", b"\x12", A_QUERY[:11], b"\x12\x34\x84" + A_QUERY[3:]):
                    await loop.sock_sendall(sock, silent)
                await loop.sock_sendall(sock, A_QUERY + bytes(5000))
                for data in MALFORMED:
                    await loop.sock_sendall(sock, data)
                    answer = await loop.sock_recv(sock, 4096)
                    assert answer == b"\x12\x34\x81\x01" + bytes(8), (data, answer)
                await loop.sock_sendall(sock, A_QUERY)
                answer = await loop.sock_recv(sock, 4096)
                assert answer.endswith(socket.inet_aton("127.77.1.2"))

    run(work)


def test_several_queries_pass_one_connection() -> None:
    """TCP: in pieces and at once; what is no query ends the connection."""
    framed = len(A_QUERY).to_bytes(2, "big") + A_QUERY

    async def work() -> None:
        async with open_dns() as port:
            for host in ("127.0.0.1", "::1"):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(framed[:1])
                await writer.drain()
                writer.write(framed[1:] + framed + framed[:9])
                size = int.from_bytes(await reader.readexactly(2), "big")
                first = await reader.readexactly(size)
                assert await reader.readexactly(2 + size) == size.to_bytes(2, "big") + first
                assert first.endswith(socket.inet_aton("127.77.1.2"))
                writer.write_eof()
                assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()
            for sent in (b"\xff\xff" + bytes(100), b"\x00\x03abc"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent)
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
                writer.close()

    run(work)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_is_told_and_tried_again(kind: socket.SocketKind) -> None:
    """H6: both ways or neither."""

    async def work() -> None:
        async with open_dns() as other, contextlib.AsyncExitStack() as stack:

            async def load() -> Addresses:
                return ADDRESSES

            dns = await stack.enter_async_context(DnsServer(load))
            port = free_front_port(other)
            with socket.socket(socket.AF_INET, kind) as taken:
                taken.bind(("127.0.0.1", port))
                if kind == socket.SOCK_STREAM:
                    taken.listen()
                await dns.listen(port)
                assert dns.port is None
                assert dns.problem is not None and "DNS names of VMs are unavailable" in dns.problem
            await dns.listen(port)
            assert dns.port == port and dns.problem is None
            assert (await dig(port, "one.vm"))[0] == "NOERROR"
            await dns.listen(0)
            assert dns.port is None and dns.problem is None

    run(work)


def test_answers_need_no_more_than_a_datagram(tmp_path: Path) -> None:
    """The longest name, and every section: within 512 bytes."""
    del tmp_path
    name = "a" * 63 + ".vm"

    async def work() -> None:
        async with open_dns() as port:
            longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 58, "vm"])
            for each in (name, longest):
                code, _, authority = await dig(port, "+bufsize=512", "+ignore", each)
                assert code == "NXDOMAIN" and authority

    run(work)
