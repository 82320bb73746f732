"""The small requests: STAT, SYNC, IDENTITY, BOOT, POWEROFF, CONNECT, LISTENERS."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import stat
import struct
import threading
from pathlib import Path

import pytest

from tests.unit.agent.conftest import Agent
from tests.unit.agent.wire import (
    BOOT,
    CONNECT,
    IDENTITY,
    LISTENERS,
    PING,
    POWEROFF,
    STAT,
    SYNC,
    Host,
    decode,
    fields,
    number,
)

BIG = random.Random(5).randbytes(2_000_000)


# --- files --------------------------------------------------------------------------


def test_stat_of_a_file(host: Host, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9")
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, -1_000_000_001))
    found = host.call(STAT, ("PATH", os.fsencode(path))).result
    assert number(found["MODE"]) == path.stat().st_mode
    assert number(found["SIZE"]) == 5
    assert (number(found["UID"]), number(found["GID"])) == (os.getuid(), path.stat().st_gid)
    assert struct.unpack("<q", found["MTIME_NS"]) == (-1_000_000_001,)
    assert "TARGET" not in found


def test_stat_of_a_link_is_of_the_link(host: Host, tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to("nowhere")
    found = host.call(STAT, ("PATH", str(tmp_path / "l"))).result
    assert stat.S_ISLNK(number(found["MODE"]))
    assert found["TARGET"] == b"nowhere"


@pytest.mark.parametrize("path", ["/no/such", "/etc/passwd/x", ""])
def test_stat_not_found(host: Host, path: str) -> None:
    assert host.call(STAT, ("PATH", path)).code == "not-found"


def test_stat_error_has_its_number(host: Host) -> None:
    outcome = host.call(STAT, ("PATH", "x" * 5000))
    assert outcome.code == "io"
    assert outcome.last is not None
    assert number(outcome.last.fields["ERRNO"]) == 36


def test_sync_answers_when_done(host: Host) -> None:
    """A1"""
    assert host.call(SYNC).result == {}


# --- identity -------------------------------------------------------------------------


def test_identity_files_are_whole(host: Host, tmp_path: Path) -> None:
    """D2, A7: parents made, replaced by rename, mode exact; a link there is not followed."""
    target = tmp_path / "a/b/id"
    keep = tmp_path / "keep"
    keep.write_bytes(b"keep")
    (tmp_path / "link").symlink_to(keep)
    content = bytes(range(256)) * 200
    outcome = host.call(
        IDENTITY,
        ("FILE", fields(("PATH", str(target)), ("MODE", 0o600), ("CONTENT", content))),
        ("FILE", fields(("PATH", str(tmp_path / "link")), ("CONTENT", b"new"))),
        ("FILE", fields(("PATH", str(tmp_path / "none")))),
    )
    assert outcome.result == {}
    assert target.read_bytes() == content
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "link").lstat().st_mode) == 0o644
    assert (tmp_path / "link").read_bytes() == b"new"
    assert keep.read_bytes() == b"keep"
    assert (tmp_path / "none").read_bytes() == b""
    assert sorted(os.listdir(tmp_path)) == ["a", "keep", "link", "none"]


def test_identity_files_that_have_no_place_are_left_out(host: Host, tmp_path: Path) -> None:
    """F1: a root may have a directory for /etc/machine-id, or a file for /etc."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_bytes(b"keep")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    outcome = host.call(
        IDENTITY,
        *(
            ("FILE", fields(("PATH", str(tmp_path / name)), ("CONTENT", b"new")))
            for name in ("taken", "file/below", "loop/below", "gone/below", "last")
        ),
    )
    assert outcome.result == {}
    assert (tmp_path / "file").read_bytes() == b"keep"
    assert (tmp_path / "last").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["file", "gone", "last", "loop", "taken"]
    (tmp_path / "closed").mkdir(mode=0o500)
    refused = ("FILE", fields(("PATH", str(tmp_path / "closed/x")), ("CONTENT", b"new")))
    assert host.call(IDENTITY, refused).code == "io"


def test_identity_needs_nothing(host: Host) -> None:
    assert host.call(IDENTITY).result == {}


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        ("HOSTNAME", "calm-otter", b"set the host name"),
        ("CLOCK_NS", 1_700_000_000_000_000_000, b"set the clock"),
        ("ENTROPY", bytes(64), b"add entropy"),
    ],
)
def test_identity_that_is_not_confirmed_is_an_error(
    host: Host, name: str, value: str | int | bytes, step: bytes
) -> None:
    """D2: without privilege it cannot be done, so there is no RESULT; the step is named."""
    outcome = host.call(IDENTITY, (name, value))
    assert outcome.code == "io"
    assert outcome.last is not None
    assert step in outcome.last.fields["MESSAGE"]
    assert number(outcome.last.fields["ERRNO"]) in (1, 13)


@pytest.mark.parametrize(
    "item",
    [
        ("ENTROPY", bytes(31)),
        ("ENTROPY", bytes(513)),
        ("FILE", fields(("CONTENT", "x"))),
        ("FILE", fields(("PATH", "relative"), ("CONTENT", "x"))),
        ("FILE", fields(("PATH", "/x"), ("HOST", "x"))),
        ("INTERFACE", fields(("PREFIX", 24))),
        ("INTERFACE", fields(("ADDRESS", "10.0.0.1"), ("PREFIX", 33))),
        ("INTERFACE", fields(("ADDRESS", "10.0.0"), ("PREFIX", 24))),
        ("INTERFACE", fields(("ADDRESS", "10.0.0.1"), ("PREFIX", 24), ("GATEWAY", "x"))),
        ("INTERFACE", fields(("ADDRESS", "10.0.0.1"), ("PREFIX", 24), ("MAC", bytes(5)))),
        ("INTERFACE", fields(("ADDRESS", "10.0.0.1"), ("PREFIX", 24), ("ADDRESS6", "10.0.0.1"))),
    ],
)
def test_identity_that_makes_no_sense(host: Host, item: tuple[str, bytes]) -> None:
    assert host.call(IDENTITY, item).code == "bad-request"


def test_boot_is_refused_on_a_booted_machine(host: Host) -> None:
    outcome = host.call(BOOT, ("ROOT", "/dev/null"), ("DATA", "/dev/null"))
    assert outcome.code == "bad-request"


@pytest.mark.parametrize("flags", [0, 1])
def test_poweroff_of_a_host_process_only_ends_the_agent(agent: Agent, flags: int) -> None:
    assert agent.host.call(POWEROFF, ("FLAGS", flags)).result == {}
    assert agent.process.wait(20) == 0
    with pytest.raises(EOFError):
        agent.host.read()


# --- ports ------------------------------------------------------------------------------


def listen(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family)
    sock.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
    sock.listen()
    sock.settimeout(20)
    return sock


def connect(host: Host, sock: socket.socket) -> int:
    address, port = sock.getsockname()[:2]
    return host.open(CONNECT, ("HOST", address), ("PORT", port))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_connect_both_directions_and_half_close(host: Host, family: socket.AddressFamily) -> None:
    with listen(family) as server:
        stream = connect(host, server)
        assert host.wait_event(stream).payload == b""
        peer, _ = server.accept()
        with peer:
            peer.settimeout(20)
            host.write(stream, b"to the server")
            got = b""
            while part := peer.recv(1000):
                got += part
            assert got == b"to the server"
            peer.sendall(b"after the host's end")
        outcome = host.wait(stream)
    assert outcome.result == {}
    assert outcome.stdout == b"after the host's end"
    assert outcome.ended == {1}


def test_connect_carries_much_both_ways(host: Host) -> None:
    """H7"""
    with listen() as server:

        def echo() -> None:
            peer, _ = server.accept()
            with peer:
                while part := peer.recv(65536):
                    peer.sendall(part)

        thread = threading.Thread(target=echo)
        thread.start()
        stream = connect(host, server)
        host.write(stream, BIG)
        outcome = host.wait(stream)
        thread.join()
    assert outcome.stdout == BIG


def test_data_before_the_connection_is_up_is_kept(host: Host) -> None:
    with listen() as server:
        stream = connect(host, server)
        host.write(stream, b"early")
        peer, _ = server.accept()
        with peer:
            assert peer.recv(100) == b"early"
        assert host.wait(stream).result == {}


def test_connect_refused(host: Host) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, not listening
        assert host.wait(connect(host, sock)).code == "refused"


def test_connect_close(host: Host) -> None:
    """Hazard of a part that is taken for the whole: the server hears of no end."""
    with listen() as server:
        stream = connect(host, server)
        host.wait_event(stream)
        peer, _ = server.accept()
        host.close_stream(stream)
        assert host.wait(stream).code == "closed"
        with peer:
            peer.settimeout(20)
            with pytest.raises(ConnectionResetError):
                peer.recv(1)


def test_a_new_host_resets_the_connections_of_the_old_one(host: Host) -> None:
    """The daemon died: a server must not take what came for all of it."""
    with listen() as server:
        stream = connect(host, server)
        host.wait_event(stream)
        peer, _ = server.accept()
        host.connect()
        with peer:
            peer.settimeout(20)
            with pytest.raises(ConnectionResetError):
                peer.recv(1)


RESET = struct.pack("ii", 1, 0)


def test_connect_reset_by_the_server(host: Host) -> None:
    """What came before it arrives; there is no EOF."""
    with listen() as server:
        stream = connect(host, server)
        host.wait_event(stream)
        peer, _ = server.accept()
        peer.sendall(b"before")
        host.wait_output(stream, b"before")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        outcome = host.wait(stream)
        assert (outcome.code, outcome.stdout) == ("reset", b"before")
        assert 1 not in outcome.ended


def test_a_reset_after_the_hosts_end_is_told(host: Host) -> None:
    with listen() as server:
        stream = connect(host, server)
        host.wait_event(stream)
        peer, _ = server.accept()
        host.write(stream, b"all of it")
        assert (peer.recv(100), peer.recv(100)) == (b"all of it", b"")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        assert host.wait(stream).code == "reset"


def test_a_reset_after_the_servers_end_is_found_out_by_writing(host: Host) -> None:
    with listen() as server:
        stream = connect(host, server)
        host.wait_event(stream)
        peer, _ = server.accept()
        peer.shutdown(socket.SHUT_WR)
        while 1 not in host.outcomes[stream].ended:
            host.step()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        host.write(stream, b"too late", eof=False)
        assert host.wait(stream).code == "reset"


def test_an_answer_before_the_reset_arrives_also_when_writing_finds_it_out(host: Host) -> None:
    """A server that closes with a request unread: its answer, then a reset."""
    with listen() as server:
        stream = connect(host, server)
        host.wait_event(stream)
        peer, _ = server.accept()
        with peer:
            host.write(stream, b"x" * 100_000, eof=False)
            assert peer.recv(1) == b"x"
            peer.sendall(b"too big")
        host.write(stream, b"x" * 100_000, eof=False)
        outcome = host.wait(stream)
        assert (outcome.code, outcome.stdout) == ("reset", b"too big")


@pytest.mark.parametrize(
    ("address", "port"), [("localhost", 80), ("", 80), ("127.0.0.1", 0), ("::1", 65536)]
)
def test_connect_to_what_is_no_address(host: Host, address: str, port: int) -> None:
    assert host.call(CONNECT, ("HOST", address), ("PORT", port)).code == "bad-request"


def listeners(payload: bytes) -> set[tuple[str, int]]:
    found = set()
    for name, raw in decode(payload):
        assert name == "LISTENER"
        inner = dict(decode(raw))
        found.add((inner["HOST"].decode(), number(inner["PORT"])))
    return found


def test_tables_of_listeners_that_are_read_in_parts(host: Host) -> None:
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(listen(family))
            for family in (socket.AF_INET, socket.AF_INET6)
            for _ in range(30)  # lines of 150 bytes and more: parts of 1024 end within one
        ]
        stream = host.open(LISTENERS)
        found = listeners(host.wait_event(stream).payload)
        assert {each.getsockname()[:2] for each in sockets} <= found


def test_listeners_are_the_set_and_its_changes(host: Host) -> None:
    with listen() as first:
        stream = host.open(LISTENERS)
        before = listeners(host.wait_event(stream).payload)
        assert first.getsockname() in before
        with listen(socket.AF_INET6) as second:
            name = second.getsockname()[:2]
            count = 1
            while name not in listeners(host.wait_event(stream, count).payload):
                count += 1
        while name in listeners(host.wait_event(stream, count).payload):
            count += 1
        host.close_stream(stream)
        assert host.wait(stream).result == {}
    assert host.call(PING).result
