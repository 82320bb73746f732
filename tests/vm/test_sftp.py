"""SFTP sessions in guests, through the daemon: whose they are, and how they end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from banger.client import Client
from banger.errors import BangerError, ExecNoSuchUser, InvalidRequest, WrongState
from tests.support.installations import Installation
from tests.support.sftp import (
    CLOSE,
    CREATE,
    DATA,
    EOF,
    FOR_READING,
    FOR_WRITING,
    NOTHING,
    OK,
    OPEN,
    PERMISSION_DENIED,
    READ,
    REALPATH,
    STAT,
    U64,
    WRITE,
    SftpClient,
)
from tests.support.vms import TINY

NOBODY = "65534:65534"


@contextlib.contextmanager
def session(banger: Installation, vm: str, **params: str) -> Iterator[SftpClient]:
    """A session of a VM."""
    with Client(banger.layout) as client:
        stream = client.stream("vm.sftp", {"ref": vm, **params})
    received = bytearray()

    def send(raw: bytes) -> None:
        while raw:
            while not stream.window:
                receive()
            piece, raw = raw[: stream.window], raw[stream.window :]
            stream.put_stdin(piece)
            while stream.unsent:
                stream.send()

    def receive() -> None:
        for _, data in stream.receive():
            received.extend(data)
        if stream.ended:
            stream.require_exit()
            raise EOFError

    def take(size: int) -> bytes:
        while len(received) < size:
            receive()
        taken = bytes(received[:size])
        del received[:size]
        return taken

    with contextlib.closing(stream):
        sftp = SftpClient(send, take)
        sftp.greet()
        yield sftp


def put(sftp: SftpClient, path: str, content: bytes) -> None:
    handle = sftp.open(path, FOR_WRITING | CREATE)
    for at in range(0, len(content), 100_000):
        assert sftp.ask(WRITE, handle, U64(at), content[at : at + 100_000]).status == OK
    assert sftp.ask(CLOSE, handle).status == OK


def get(sftp: SftpClient, path: str) -> bytes:
    handle, content = sftp.open(path, FOR_READING), b""
    while (reply := sftp.ask(READ, handle, U64(len(content)), 100_000)).kind == DATA:
        content += reply.text()
    assert reply.status == EOF
    return content


def test_a_file_goes_in_and_comes_out(banger: Installation, tiny: str) -> None:
    """H7."""
    content = bytes(range(256)) * 8000
    with session(banger, tiny) as sftp:
        [(home, _, _)] = sftp.ask(REALPATH, ".").names()
        put(sftp, "there", content)
        assert get(sftp, "there") == content
    length = banger.exec(tiny, "wc", "-c", f"{home.decode()}/there", status=0).text.split()[0]
    assert int(length) == len(content)


def test_a_session_has_its_user_s_rights(banger: Installation, tiny: str) -> None:
    """E3, G5: those of the file system, and no way round by what the agent has open."""
    banger.exec(tiny, "sh", "-c", "umask 077; echo x >/run/secret", status=0)
    with session(banger, tiny, user=NOBODY, cwd="/tmp") as sftp:
        for path in ("/run/secret", "/proc/1/root/run/secret"):
            assert sftp.ask(OPEN, path, FOR_READING, NOTHING).status == PERMISSION_DENIED
        assert sftp.ask(OPEN, "/etc/new", FOR_WRITING | CREATE, NOTHING).status == PERMISSION_DENIED
        assert sftp.ask(STAT, "/proc/self/fd/4").status != OK
        put(sftp, "mine", b"x")
    assert (
        banger.exec(tiny, "stat", "-c", "%u:%g %a", "/tmp/mine", status=0).text == f"{NOBODY} 644"
    )


def test_a_session_that_cannot_be(banger: Installation, tiny: str) -> None:
    with pytest.raises(ExecNoSuchUser), session(banger, tiny, user="nobody-of-this-name"):
        pass
    with pytest.raises(InvalidRequest), session(banger, tiny, cwd="relative"):
        pass
    with pytest.raises(BangerError, match="no/such"), session(banger, tiny, cwd="/no/such"):
        pass


def test_a_session_ends_with_its_vm(own: Installation) -> None:
    """H2: and a VM that does not run has none."""
    own.do("vm", "create", "--name", "short", *TINY)
    with session(own, "short") as sftp:
        own.do("vm", "kill", "short")
        with pytest.raises(BangerError):
            sftp.ask(STAT, "/")
    with pytest.raises(WrongState), session(own, "short"):
        pass
