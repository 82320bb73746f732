"""The front's HTTP/2 in the clear: curl, a strict client and server, and hostile bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from banger.names.http2 import ACK, HEADERS, SETTINGS, Broken, Frame, Requests
from tests.component.names.fronts import PREFACE, curl, fetch, open_front, run

ASKED: list[bytes] = []
"""Authorities that servers of these tests were asked for."""


class Conversation:
    """One connection of a server: answers with authority, path and the body's digest."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.reader, self.writer = reader, writer
        self.http = h2.connection.H2Connection(config)
        self.requests: dict[int, tuple[dict[bytes, bytes], Any]] = {}

    async def serve(self) -> None:
        self.http.initiate_connection()
        await self.flush()
        while data := await self.reader.read(65536):
            for event in self.http.receive_data(data):
                self.take(event)
            await self.flush()

    async def flush(self) -> None:
        self.writer.write(self.http.data_to_send())
        await self.writer.drain()

    def take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                fields = dict(event.headers or [])
                ASKED.append(fields[b":authority"])
                self.requests[event.stream_id] = fields, hashlib.sha256()
            case h2.events.DataReceived():
                self.requests[event.stream_id][1].update(event.data)
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                fields, digest = self.requests[event.stream_id]
                body = b"%b %b %b" % (
                    fields[b":authority"],
                    fields[b":path"],
                    digest.hexdigest().encode(),
                )
                self.http.send_headers(event.stream_id, [(":status", "200")])
                self.http.send_data(event.stream_id, body, end_stream=True)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A server in the guest; its port."""
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.closing(writer), contextlib.suppress(OSError):
            await Conversation(reader, writer).serve()

    ASKED.clear()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Client:
    """A client that looks at what it gets, and sends nothing before the server's SETTINGS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.http = h2.connection.H2Connection()
        self.bodies: dict[int, bytes] = {}
        self.statuses: dict[int, str] = {}
        self.is_over = self.has_settings = False

    async def begin(self) -> None:
        self.http.initiate_connection()
        while not self.has_settings:
            await self.turn()

    async def turn(self) -> None:
        """Send what there is to send, and take what comes."""
        self.writer.write(self.http.data_to_send())
        await self.writer.drain()
        data = await self.reader.read(65536)
        self.is_over = not data
        for event in self.http.receive_data(data):
            match event:
                case h2.events.RemoteSettingsChanged():
                    self.has_settings = True
                case h2.events.ResponseReceived():
                    self.statuses[event.stream_id] = dict(event.headers or [])[b":status"].decode()
                case h2.events.DataReceived():
                    before = self.bodies.get(event.stream_id, b"")
                    self.bodies[event.stream_id] = before + event.data

    def ask(self, stream: int, host: str, *more: tuple[str, str]) -> None:
        fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", host)]
        self.http.send_headers(stream, [*fields, *more], end_stream=True)


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_curl_speaks_http_2_with_a_guest(agent_binary: Path, tmp_path: Path) -> None:
    """H7: a request without a body, and one with 3 MB."""
    sent = os.urandom(3_000_000)
    (tmp_path / "body").write_bytes(sent)
    nothing, digest = (hashlib.sha256(data).hexdigest() for data in (b"", sent))

    async def work() -> None:
        async with serving() as one, open_front(agent_binary, one=one) as port:
            link = f"http://{one}-one.localhost:{port}"
            host = link.removeprefix("http://")
            known = ("--http2-prior-knowledge", "-w", " %{http_version}\n")
            assert await fetch(*known, f"{link}/a") == f"{host} /a {nothing} 2\n"
            said = await fetch(*known, "-T", str(tmp_path / "body"), f"{link}/b")
            assert said == f"{host} /b {digest} 2\n"

    run(work)


def test_a_client_that_waits_for_settings_gets_them(agent_binary: Path) -> None:
    """As gRPC's do; many requests at once, with fields that refer to each other."""

    async def work() -> None:
        async with (
            serving() as one,
            open_front(agent_binary, one=one) as port,
            connected(port) as client,
        ):
            await client.begin()
            for number in range(50):
                client.ask(2 * number + 1, "one.localhost", ("x", f"{number % 7}" * 50))
            while len(client.bodies) < 50:
                await client.turn()
            assert set(client.statuses.values()) == {"200"}
            assert ASKED == [b"one.localhost"] * 50

    run(work)


def test_a_request_for_another_host_ends_the_connection(agent_binary: Path) -> None:
    """E4: it reaches neither VM."""

    async def work() -> None:
        async with (
            serving() as one,
            open_front(agent_binary, one=one, two=one) as port,
            connected(port) as client,
        ):
            await client.begin()
            client.ask(1, "one.localhost")
            while 1 not in client.bodies:
                await client.turn()
            client.ask(3, "two.localhost")
            with contextlib.suppress(ConnectionResetError):
                while not client.is_over:
                    await client.turn()
            assert 3 not in client.statuses
            assert ASKED == [b"one.localhost"]

    run(work)


@pytest.mark.parametrize(
    ("host", "status", "said"),
    [
        ("three", 404, "banger: There is no VM three.\nTry: banger vm list\n"),
        ("stopped", 503, "banger: The VM stopped is stopped.\nTry: banger vm show stopped\n"),
        ("9-one", 502, "banger: Nothing listens on port 9 of one.\nTry: banger vm ports one\n"),
    ],
)
def test_a_link_that_leads_nowhere_is_explained(
    agent_binary: Path, host: str, status: int, said: str
) -> None:
    """H6, in the client's own protocol."""

    async def work() -> None:
        async with serving() as one, open_front(agent_binary, one=one) as port:
            link = f"http://{host}.localhost:{port}/"
            done = await curl("--http2-prior-knowledge", "-w", "%{http_code}", link)
            assert done.stdout.decode() == f"{said}{status}", done

    run(work)


def test_what_is_no_request_ends_the_connection(agent_binary: Path) -> None:
    """E4: within bounds; what the guest's server would make of it does not matter."""
    endless = Frame(HEADERS, 0, 1, b"\x00").encode() + Frame(9, 0, 1, bytes(16000)).encode() * 5
    hostile = [
        Frame(HEADERS, 4, 1, b"\xff" * 20).encode(),
        Frame(HEADERS, 4 | 8, 1, b"\xff").encode(),
        Frame(0, 0, 1, b"").encode()[:3],
        b"\xff\xff\xff" + bytes(20),
        endless,
        Frame(HEADERS, 0, 1, b"").encode() + Frame(0, 0, 1, b"a").encode(),
        Frame(HEADERS, 4, 1, Encoder().encode([(":method", "GET"), (":path", "/")])).encode(),
        Frame(6, 0, 0, bytes(8)).encode() * 20_000,
    ]

    async def work() -> None:
        async with serving() as one, open_front(agent_binary, one=one) as port:
            for sent in hostile:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(PREFACE + sent)
                writer.write_eof()
                said = await reader.read()
                assert said.startswith(Frame(SETTINGS, 0, 0, b"").encode())
                assert said[9:].startswith(b"\x00\x00\x08\x07") or not said[9:]  # GOAWAY
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            assert ASKED == []

    run(work)


def request(authority: str, **more: str) -> bytes:
    fields = [(":method", "GET"), (":authority", authority), *more.items()]
    return Frame(HEADERS, 5, 1, Encoder().encode(fields)).encode()


@given(st.binary(max_size=300))
def test_hostile_bytes_break_nothing_but_their_connection(data: bytes) -> None:
    """E4."""
    requests = Requests()
    with contextlib.suppress(Broken):
        passed = requests.feed(data)
        assert data.startswith(passed) or ACK in data


@given(st.data())
def test_how_bytes_are_cut_does_not_matter(data: st.DataObject) -> None:
    sent = Frame(SETTINGS, 0, 0, b"").encode() + Frame(SETTINGS, ACK, 0, b"").encode()
    sent += request("one.localhost") + Frame(SETTINGS, ACK, 0, b"").encode()
    requests, passed = Requests(), b""
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=6))
    ends = [0, *sorted(cuts), len(sent)]
    for first, last in itertools.pairwise(ends):
        passed += requests.feed(sent[first:last])
    # The acknowledgement of the front's own SETTINGS is the first one.
    assert passed == sent[:9] + sent[18:]
    assert requests.authority == b"one.localhost"


@pytest.mark.parametrize(
    "fields", [{"host": "two.localhost"}, {"host": "one.localhost, two.localhost"}]
)
def test_a_request_of_two_hosts_is_refused(fields: dict[str, str]) -> None:
    """E4."""
    with pytest.raises(Broken):
        Requests().feed(request("one.localhost", **fields))
