"""The SOCKS proxy: curl and a client of its own, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.names import links
from tests.component.names.fronts import curl, fetch, open_all, raw_server, run, web_server
from tests.component.names.test_http1 import One, Two
from tests.support.loopbacks import free_front_port

HELLO = b"\x05\x01\x00"


@contextlib.asynccontextmanager
async def open_proxy(agent_binary: Path, **vms: int) -> AsyncIterator[int]:
    """A proxy to these VMs; its port."""
    async with open_all(agent_binary, **vms) as names:
        await names.socks.listen(free_front_port())
        assert names.socks.port is not None, names.problems
        yield names.socks.port


def request(name: bytes, port: int, *, command: int = 1) -> bytes:
    return bytes((5, command, 0, 3, len(name))) + name + port.to_bytes(2, "big")


async def say(port: int, *pieces: bytes) -> bytes:
    """Send bytes, and the end; return all that comes back."""
    reader, writer = await asyncio.open_connection("::1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_curl_reaches_vms_by_name_and_port(agent_binary: Path) -> None:
    """I9: by the environment that `banger env` prints; one port of two VMs."""

    async def work() -> None:
        with web_server(One) as one, web_server(Two) as two:
            async with open_proxy(agent_binary, one=one, two=two) as port:
                for name, guest_port in (("one", one), ("two", two)):
                    host = f"{name}.vm:{guest_port}"
                    said = await fetch("-x", f"socks5h://127.0.0.1:{port}", f"http://{host}/a")
                    assert said == f"{name} /a {host} None"

    run(work)


def test_bytes_pass_both_ways_to_their_ends(agent_binary: Path) -> None:
    """H7: also those that a client sends before it is answered, and after the server's end."""
    sent = os.urandom(900_000)

    def shout(client: socket.socket) -> None:
        client.sendall(b"welcome")
        while data := client.recv(65536):
            client.sendall(data[::-1] if len(data) < 10 else data)

    async def work() -> None:
        with raw_server(shout) as one:
            async with open_proxy(agent_binary, one=one) as port:
                said = await say(port, HELLO + request(b"ONE.vm.", one) + b"early", sent)
                head, words = said[:12], said[12:]
                assert head == b"\x05\x00\x05\x00\x00\x01" + bytes(6)
                assert words.startswith(b"welcome") and len(words) == len(sent) + 12

    run(work)


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        (b"three.vm", 4),
        (b"stopped.vm", 4),
        (b"example.com", 2),
        (b"one", 2),
        (b"one.vm.example.com", 2),
        (b"a.one.vm", 2),
        (b"127.0.0.1", 2),
        (b"localhost", 2),
        (b"", 2),
        (b"one.vm\x00", 2),
        (b"\xff" * 255, 2),
    ],
)
def test_what_is_no_running_vm_is_refused(agent_binary: Path, name: bytes, reply: int) -> None:
    """E4: there is no way out of this host, nor to its own ports."""

    async def work() -> None:
        with web_server(One) as one:
            async with open_proxy(agent_binary, one=one) as port:
                said = await say(port, HELLO + request(name, one))
                assert said == bytes((5, 0, 5, reply, 0, 1)) + bytes(6)

    run(work)


def test_what_the_proxy_does_not_do_has_its_own_code(agent_binary: Path) -> None:
    """E4."""

    async def work() -> None:
        with web_server(One) as one:
            async with open_proxy(agent_binary, one=one) as port:
                address = socket.inet_aton("127.0.0.1") + one.to_bytes(2, "big")
                cases = {
                    HELLO + b"\x05\x01\x00\x01" + address: b"\x05\x00\x05\x02",
                    HELLO + b"\x05\x01\x00\x04" + bytes(18): b"\x05\x00\x05\x02",
                    HELLO + b"\x05\x01\x00\x02" + bytes(18): b"\x05\x00\x05\x08",
                    HELLO + request(b"one.vm", one, command=2): b"\x05\x00\x05\x07",
                    HELLO + request(b"one.vm", one, command=3): b"\x05\x00\x05\x07",
                    HELLO + request(b"one.vm", 0): b"\x05\x00\x05\x02",
                    HELLO + request(b"one.vm", 9): b"\x05\x00\x05\x05",
                    b"\x05\x01\x02": b"\x05\xff",
                    b"\x04\x01\x00\x50\x00\x00\x00\x01one\x00": b"reset",
                    b"GET http://one.vm/ HTTP/1.1\r\n\r\n": b"reset",
                }
                for sent, expected in cases.items():
                    said = await say(port, sent)
                    assert said[: len(expected)] == expected, (sent, said)
                done = await curl("-x", f"socks5://127.0.0.1:{port}", "http://127.0.0.1:1/")
                assert done.returncode == 97, done  # resolved by curl: no name, so not allowed

    run(work)


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60))
def test_any_name_is_a_vms_or_none(untrusted_name: bytes) -> None:
    """E4."""
    for name in (untrusted_name, untrusted_name + b".vm"):
        found = links.parse_vm_domain(name)
        assert found is None or links.parse_host(f"1-{found[:57]}.localhost".encode())
