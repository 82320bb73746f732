"""LISTEN, ACCEPT, UDP and CONNECT to Unix sockets, frame by frame."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.wire import ACCEPT, CONNECT, LISTEN, UDP, Host, Value, decode, number

D = 20


def listen(host: Host, *fields: tuple[str, Value]) -> tuple[int, dict[str, bytes]]:
    """Start listening; return the stream and the first EVENT's fields."""
    stream = host.open(LISTEN, *fields)
    return stream, host.wait_event(stream).fields


def waiting(host: Host, stream: int, events: int) -> dict[int, dict[str, bytes]]:
    """Return the connections of the EVENT of this number, by theirs."""
    raw = decode(host.wait_event(stream, events).payload)
    found = [dict(decode(value)) for name, value in raw if name == "CONNECTION"]
    return {number(each["NUMBER"]): each for each in found}


@contextlib.contextmanager
def connected(path: bytes) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(D)
        client.connect(path)
        yield client


def test_a_connection_is_offered_until_it_is_taken(host: Host) -> None:
    with_port, first = listen(host, ("HOST", "127.0.0.1"), ("PORT", 0))
    assert first["HOST"] == b"127.0.0.1"
    place = ("127.0.0.1", number(first["PORT"]))
    with (
        socket.create_connection(place, D) as one,
        socket.create_connection(place, D) as other,
    ):
        found = waiting(host, with_port, 3)
        assert sorted(found) == [1, 2]
        assert number(found[1]["PORT"]) in (one.getsockname()[1], other.getsockname()[1])
        taken = host.open(ACCEPT, ("NUMBER", 1))
        host.wait_event(taken)
        with socket.create_connection(place, D):
            assert sorted(waiting(host, with_port, 4)) == [2, 3]
        assert host.call(ACCEPT, ("NUMBER", 1)).code == "not-found"
        host.close_stream(with_port)
        assert host.wait(with_port).code == "closed"
        client = one if number(found[1]["PORT"]) == one.getsockname()[1] else other
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        host.wait_output(taken, b"hello")
        host.write(taken, b"there")
        assert client.recv(100) == b"there"
        assert client.recv(100) == b""
        assert host.wait(taken).result == {}


def test_sixteen_wait_and_the_kernel_has_the_others(host: Host) -> None:
    """E2."""
    stream, first = listen(host)
    path = first["PATH"]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(path)) for _ in range(20)]
        found = waiting(host, stream, 17)
        assert len(found) == 16
        taken = host.open(ACCEPT, ("NUMBER", 16))
        host.wait_event(taken)
        assert 17 in waiting(host, stream, 18)
        assert len(clients) == 20


def test_a_new_host_finds_no_listener_of_the_old_one(host: Host) -> None:
    """Sockets go with the connection that asked for them, and so do their files."""
    _, first = listen(host)
    path = first["PATH"]
    with connected(path) as client:
        host.connect()
        assert client.recv(1) == b""
    assert not os.path.exists(os.path.dirname(path))
    assert host.call(ACCEPT, ("NUMBER", 1)).code == "not-found"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (LISTEN, [("HOST", "127.0.0.1"), ("PORT", 0), ("PATH", "/x")]),
        (LISTEN, [("HOST", "localhost"), ("PORT", 0)]),
        (LISTEN, [("PORT", 0)]),
        (LISTEN, [("HOST", "127.0.0.1"), ("PORT", 65536)]),
        (LISTEN, [("PATH", "relative")]),
        (LISTEN, [("PATH", "/" + "x" * 107)]),
        (CONNECT, [("PATH", "")]),
        (CONNECT, []),
        (CONNECT, [("PATH", "/x"), ("HOST", "::1"), ("PORT", 1)]),
        (UDP, [("HOST", "127.0.0.1"), ("PORT", 0)]),
        (UDP, [("PATH", "/x")]),
        (UDP, []),
    ],
)
def test_a_request_for_no_address(host: Host, kind: int, fields: list[tuple[str, Value]]) -> None:
    assert host.call(kind, *fields).code == "bad-request"


def test_accepting_what_was_never_offered(host: Host) -> None:
    listen(host)
    for fields in ([], [("NUMBER", 0)], [("NUMBER", 2**64 - 1)]):
        assert host.call(ACCEPT, *fields).code == "not-found"


def test_a_unix_socket_in_both_directions(host: Host, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        server.settimeout(D)
        stream = host.open(CONNECT, ("PATH", str(tmp_path / "socket")))
        host.wait_event(stream)
        peer, _ = server.accept()
        with peer:
            peer.settimeout(D)
            host.write(stream, b"ask")
            assert (peer.recv(10), peer.recv(10)) == (b"ask", b"")
            peer.sendall(b"answer")
    assert host.wait(stream).stdout == b"answer"


def test_datagrams_come_whole(host: Host) -> None:
    """Records in pieces: the bounds of frames are not those of datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(D)
        stream = host.open(UDP, ("HOST", "127.0.0.1"), ("PORT", server.getsockname()[1]))
        host.wait_event(stream)
        for byte in struct.pack("<I", 3) + b"abc" + struct.pack("<I", 0):
            host.write(stream, bytes([byte]), eof=False)
        data, client = server.recvfrom(100)
        assert (data, server.recv(100)) == (b"abc", b"")
        server.sendto(b"defg", client)
        host.wait_output(stream, struct.pack("<I", 4) + b"defg")
        host.write(stream, b"")
        assert host.wait(stream).result == {}


@pytest.mark.parametrize(
    ("raw", "eof"),
    [
        (struct.pack("<I", 65536), False),
        (struct.pack("<I", 9) + b"short", True),
        (b"x", True),
    ],
    ids=["too long", "cut short", "no length"],
)
def test_what_is_no_datagram_ends_the_stream(host: Host, raw: bytes, eof: bool) -> None:
    """E2."""
    stream = host.open(UDP, ("HOST", "127.0.0.1"), ("PORT", 9))
    host.write(stream, raw, eof=eof)
    assert host.wait(stream).code == "bad-packet"
