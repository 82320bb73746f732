"""SFTP sessions: files whole and in pieces, what breaks a session, what does not."""

from __future__ import annotations

import os
import random
import stat
import struct
from pathlib import Path

import pytest

from tests.support.sftp import (
    BAD_MESSAGE,
    CLOSE,
    CREATE,
    DATA,
    EOF,
    EXTENDED,
    FAILURE,
    FOR_READING,
    FOR_WRITING,
    FSTAT,
    HANDLE,
    INIT,
    LSTAT,
    MKDIR,
    OK,
    OPEN,
    PACKET_MAX,
    READ,
    READDIR,
    RENAME,
    SETSTAT,
    STAT,
    STATUS,
    U64,
    UNSUPPORTED,
    WRITE,
    Attributes,
    SftpClient,
    encode,
    packet,
)
from tests.unit.agent.conftest import wait_gone
from tests.unit.agent.sftp import open_session, start_session
from tests.unit.agent.wire import EXEC, SFTP, Host, number

READ_MOST = PACKET_MAX - 1024


def write_file(client: SftpClient, path: str, content: bytes) -> None:
    handle = client.open(path, FOR_WRITING | CREATE)
    for at in range(0, len(content), READ_MOST):
        assert client.ask(WRITE, handle, U64(at), content[at : at + READ_MOST]).status == OK
    assert client.ask(CLOSE, handle).status == OK


def read_file(client: SftpClient, path: str) -> bytes:
    handle, content = client.open(path, FOR_READING), b""
    while (reply := client.ask(READ, handle, U64(len(content)), PACKET_MAX)).kind == DATA:
        content += reply.text()
    assert reply.status == EOF
    return content


def test_the_hello_names_what_works(host: Host, tmp_path: Path) -> None:
    client = start_session(host, tmp_path)
    assert client.extensions == {
        f"{name}@openssh.com".encode(): version
        for name, version in {
            "posix-rename": b"1", "statvfs": b"2", "fstatvfs": b"2", "hardlink": b"1",
            "fsync": b"1", "lsetstat": b"1", "limits": b"1", "expand-path": b"1",
        }.items()
    }  # fmt: skip


def test_a_file_of_any_bytes_goes_in_and_comes_out(host: Host, tmp_path: Path) -> None:
    """H7."""
    content = random.Random(3).randbytes(3_000_001)
    client = start_session(host, tmp_path)
    write_file(client, "caf\xe9\n", content)
    assert (tmp_path / "caf\xe9\n").read_bytes() == content
    assert read_file(client, "caf\xe9\n") == content
    write_file(client, "empty", b"")
    assert read_file(client, "empty") == b""


def test_writes_land_where_they_say_in_any_order(host: Host, tmp_path: Path) -> None:
    """As sshfs writes: many requests on their way, at random offsets, over each other."""
    rng, client = random.Random(5), start_session(host, tmp_path)
    expected, sent = bytearray(200_000), []
    handle = client.open("f", FOR_WRITING | FOR_READING | CREATE)
    for _ in range(300):
        at, piece = rng.randrange(190_000), rng.randbytes(rng.randrange(1, 10_000))
        expected[at : at + len(piece)] = piece
        sent.append(client.send(WRITE, handle, U64(at), piece))
    for number_ in sent:
        reply = client.receive()
        assert (reply.id, reply.status) == (number_, OK)
    found = (tmp_path / "f").read_bytes()
    assert found == expected[: len(found)]
    for _ in range(100):
        at, size = rng.randrange(len(found)), rng.randrange(1, 40_000)
        assert client.ask(READ, handle, U64(at), size).text() == found[at : at + size]


def test_replies_wait_for_a_client_that_reads_later(host: Host, tmp_path: Path) -> None:
    """E2, H7: 40 MB of replies are asked for before the first one is read; all come, in order."""
    content = random.Random(4).randbytes(READ_MOST)
    (tmp_path / "f").write_bytes(content)
    client = start_session(host, tmp_path)
    handle = client.open("f", FOR_READING)
    host.grants = False
    sent = [client.send(READ, handle, U64(0), READ_MOST) for _ in range(160)]
    host.grants = True
    host.send(struct.pack("<BBBBII", 5, 1, 0, 0, 1, 4) + struct.pack("<I", 262144) + b"\xe5")
    for number_ in sent:
        reply = client.receive()
        assert reply.id == number_
        assert reply.text() == content


def test_a_directory_comes_in_batches_with_lines(host: Host, tmp_path: Path) -> None:
    for index in range(250):
        (tmp_path / f"f{index}").touch(0o640)
    client = start_session(host, tmp_path)
    handle = client.open_directory(".")
    found: dict[bytes, tuple[bytes, Attributes]] = {}
    while (reply := client.ask(READDIR, handle)).kind != STATUS:
        batch = reply.names()
        assert len(batch) <= 100
        found |= {name: (line, attributes) for name, line, attributes in batch}
    assert reply.status == EOF
    assert set(found) == {b".", b"..", *(b"f%d" % index for index in range(250))}
    line, attributes = found[b"f7"]
    assert line.startswith(b"-rw-r-----    1 ")
    assert line.endswith(b" f7")
    assert attributes.mode == stat.S_IFREG | 0o640


def test_the_owner_is_set_before_the_mode(host: Host, tmp_path: Path) -> None:
    """A new owner takes the setuid bit away: the mode that was asked for must stay."""
    (tmp_path / "f").write_bytes(b"x")
    client = start_session(host, tmp_path)
    wanted = Attributes(owner=(os.getuid(), os.getgid()), mode=0o4755, times=(5, 6))
    assert client.ask(SETSTAT, "f", wanted).status == OK
    found = (tmp_path / "f").stat()
    assert stat.S_IMODE(found.st_mode) == 0o4755
    assert (found.st_atime, found.st_mtime) == (5, 6)


def test_a_failure_says_why(host: Host, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    reply = start_session(host, tmp_path).ask(MKDIR, "d", Attributes())
    assert reply.u32() == FAILURE
    assert reply.text() == b"File exists"


@pytest.mark.parametrize("old", ["file", "directory", "link"])
@pytest.mark.parametrize("new", ["taken", "taken-directory", "dangling"])
def test_rename_replaces_nothing(host: Host, tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "taken").write_bytes(b"new")
    (tmp_path / "taken-directory").mkdir()
    (tmp_path / "dangling").symlink_to("gone")
    before = sorted(os.listdir(tmp_path))
    assert start_session(host, tmp_path).ask(RENAME, old, new).status == FAILURE
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "taken").read_bytes() == b"new"


def test_a_pipe_without_a_writer_does_not_stop_the_session(host: Host, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    client = start_session(host, tmp_path)
    reply = client.ask(OPEN, "pipe", FOR_READING, Attributes())
    assert reply.kind == HANDLE
    assert client.ask(READ, reply.text(), U64(0), 10).status == FAILURE
    assert client.ask(STAT, ".").kind != STATUS


def test_handles_are_bounded_and_used_again(host: Host, tmp_path: Path) -> None:
    """E2."""
    (tmp_path / "f").touch()
    client = start_session(host, tmp_path)
    handles = [client.open("f", FOR_READING) for _ in range(200)]
    handles += [client.open_directory(".") for _ in range(56)]
    assert len(set(handles)) == 256
    assert client.ask(OPEN, "f", FOR_READING, Attributes()).status == FAILURE
    assert client.ask(CLOSE, handles[100]).status == OK
    assert client.open("f", FOR_READING) == handles[100]
    assert client.ask(FSTAT, handles[100]).kind != STATUS


def test_a_tilde_is_the_home_wherever_the_session_begins(host: Host, tmp_path: Path) -> None:
    client = start_session(host, tmp_path)
    home = host.exec("sh", "-c", "cd; pwd -P").stdout.strip()
    for path, below in {"~": b"", "~/": b"", "~/x": b"/x"}.items():
        [(name, _, _)] = client.extend("expand-path", path).names()
        assert name == home + below


# --- the session itself ---


def test_the_session_ends_with_its_input(host: Host, tmp_path: Path) -> None:
    client, stream = open_session(host, tmp_path)
    client.greet()
    host.write(stream, b"")
    assert host.wait(stream).result == {}
    assert 1 in host.outcomes[stream].ended


def test_relative_names_begin_at_home(host: Host) -> None:
    stream = host.open(SFTP)
    host.write(stream, packet(INIT, struct.pack(">I", 3)) + packet(16, bytes(4) + encode(".")))
    home = host.exec("sh", "-c", "cd; pwd -P").stdout.strip()
    assert home in host.wait(stream).stdout


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([("USER", "nobody-of-this-name")], "no-such-user"),
        ([("CWD", "/no/such/directory")], "bad-directory"),
        ([("CWD", "relative")], "bad-request"),
        ([("PATH", "/")], "bad-request"),
    ],
)
def test_a_session_that_cannot_begin(host: Host, fields: list[tuple[str, str]], code: str) -> None:
    assert host.wait(host.open(SFTP, *fields)).code == code


@pytest.mark.parametrize(
    "raw",
    [
        packet(STAT, bytes(4) + encode("/")),
        packet(INIT, b""),
        packet(INIT, bytes(4)) + struct.pack(">I", PACKET_MAX + 1) + bytes(100),
        packet(INIT, bytes(4)) + struct.pack(">I", 2**32 - 1),
        packet(INIT, bytes(4)) + bytes(4),
        packet(INIT, bytes(4)) + packet(STAT, bytes(4) + encode("/"))[:-1],
    ],
    ids=["no INIT", "short INIT", "too long", "longest", "empty", "cut short"],
)
def test_a_broken_session_ends(host: Host, raw: bytes) -> None:
    """E2."""
    stream = host.open(SFTP)
    host.write(stream, raw)
    assert host.wait(stream).code == "bad-packet"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (STAT, b""),
        (STAT, struct.pack(">I", 2**32 - 1)),
        (STAT, encode(b"a\0b")),
        (OPEN, encode("f")),
        (WRITE, encode(bytes(4)) + bytes(8) + struct.pack(">I", 100) + b"short"),
        (SETSTAT, encode("f") + struct.pack(">II", 1 << 31, 2**32 - 1)),
        (EXTENDED, struct.pack(">I", 9)),
    ],
)
def test_a_malformed_request_is_refused_and_no_more(
    host: Host, tmp_path: Path, kind: int, body: bytes
) -> None:
    """E2."""
    client, stream = open_session(host, tmp_path)
    client.greet()
    host.write(stream, packet(kind, struct.pack(">I", 99) + body), eof=False)
    reply = client.receive()
    assert (reply.id, reply.status) == (99, BAD_MESSAGE)
    assert client.ask(LSTAT, ".").kind != STATUS


@pytest.mark.parametrize("kind", [INIT, 2, 21, 22, 28, 29, 77, 101, 255])
def test_an_unknown_request_is_unsupported(host: Host, tmp_path: Path, kind: int) -> None:
    """The numbers that extensions have inside the agent are none of the protocol's."""
    assert start_session(host, tmp_path).ask(kind, "f", "g").status == UNSUPPORTED


def test_noise_is_answered_or_ends_the_session(host: Host, tmp_path: Path) -> None:
    """E2: requests with bytes turned over, one reply for each."""
    rng, client = random.Random(11), start_session(host, tmp_path)
    bodies = [
        (OPEN, encode("n") + struct.pack(">I", 26) + Attributes(mode=0o600).encode()),
        (WRITE, encode(bytes(4)) + encode(U64(5)) + encode(b"data")),
        (READ, encode(bytes(4)) + encode(U64(0)) + encode(20)),
        (SETSTAT, encode("n") + Attributes(size=5, mode=0o600, times=(1, 2)).encode()),
        (READDIR, encode(bytes(4))),
        (EXTENDED, encode("limits@openssh.com")),
    ]
    for _ in range(1500):
        kind, body = rng.choice(bodies)
        noisy = bytearray(body)
        for _ in range(rng.randrange(3)):
            noisy[rng.randrange(len(noisy))] = rng.randrange(256)
        number_ = client._next_id
        client._next_id += 1
        client._send(packet(kind, struct.pack(">I", number_) + noisy))
        assert client.receive().id == number_


def test_a_session_that_is_given_up_ends_at_once(host: Host, tmp_path: Path) -> None:
    """H2, H3: also while its replies wait for a client that does not read."""
    (tmp_path / "f").write_bytes(bytes(READ_MOST))
    client, stream = open_session(host, tmp_path)
    client.greet()
    handle = client.open("f", FOR_READING)
    host.grants = False
    for _ in range(40):
        client.send(READ, handle, U64(0), READ_MOST)
    agent = host.exec("sh", "-c", "echo $PPID").stdout.strip().decode()
    [worker] = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()[:1]
    host.close_stream(stream)
    assert host.wait(stream).code == "closed"
    wait_gone(int(worker))


def test_sessions_and_programs_run_side_by_side(host: Host, tmp_path: Path) -> None:
    one, other = start_session(host, tmp_path), start_session(host, tmp_path)
    write_file(one, "f", b"shared")
    stream = host.open(EXEC, ("ARG", "cat"), ("ARG", str(tmp_path / "f")))
    assert read_file(other, "f") == b"shared"
    assert host.wait(stream).stdout == b"shared"
    assert number(host.outcomes[stream].result["STATUS"]) == 0
