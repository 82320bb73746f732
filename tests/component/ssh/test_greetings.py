"""Whatever greets the ssh front: it says no, and serves the next one."""

from __future__ import annotations

import contextlib
import json
import os
import socket

import pytest

from banger.errors import Denied
from banger.ssh.front import require_owner
from tests.component.ssh.conftest import DEADLINE_S, Host

HOSTILE = [
    b"nonsense\n",
    b"banger-ssh 2 box\n",
    b"banger-ssh 1\n",
    b"banger-ssh 1 \n",
    b"banger-ssh 1 ../box\n",
    b"banger-ssh 1 " + b"x" * 65 + b"\n",
    b"banger-ssh 1 b\xffx\n",
    b"banger-ssh 1 box\nSSH-2.0-hasty\r\n",
    b"\0" * 300,
    b"x" * 1_000_000,
]


def greet(host: Host, greeting: bytes) -> bytes:
    """Return all that the front says to a greeting, until it ends the connection."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE_S)
        sock.connect(host.socket)
        with contextlib.suppress(ConnectionError):  # it may have gone before all was sent
            sock.sendall(greeting)
        said = b""
        with contextlib.suppress(ConnectionError):
            while data := sock.recv(65536):
                said += data
    return said


def test_a_greeting_that_is_none_is_refused(host: Host) -> None:
    """E2, H6: with a reason, and at a bounded length."""
    for greeting in HOSTILE:
        error = json.loads(greet(host, greeting))
        assert "greeting sent to the ssh front is not valid" in error["message"], greeting
    assert host.run("echo served") == b"served\n"


def test_what_is_not_ssh_after_the_greeting_ends_that_connection(host: Host) -> None:
    for said in (b"nonsense\r\n" * 2000, b"SSH-2.0-x\r\n" + b"\xff" * 100_000):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect(host.socket)
            sock.sendall(b"banger-ssh 1 box\n")
            assert sock.recv(3) == b"ok\n"
            with contextlib.suppress(ConnectionError):
                sock.sendall(said)
                while sock.recv(65536):
                    pass
    assert host.run("echo served") == b"served\n"


def test_clients_that_say_nothing_hold_nobody_up(host: Host) -> None:
    """C5."""
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(host.socket)
        assert host.run("echo served") == b"served\n"


def test_only_the_user_is_served() -> None:
    """G1: the kernel says whose process is at the other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        require_owner(ours, os.getuid())
        with pytest.raises(Denied, match="another user"):
            require_owner(ours, os.getuid() + 1)
