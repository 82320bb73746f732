"""What the agent does for a user has the user's rights: SFTP, and Unix sockets in both directions.

The agent is root of a user namespace here, with the ids of its users, as it is root of a guest.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sftp import (
    CREATE,
    FOR_READING,
    FOR_WRITING,
    NOTHING,
    OPEN,
    PERMISSION_DENIED,
    READDIR,
    SETSTAT,
    Attributes,
    SftpClient,
)
from tests.unit.agent.conftest import start_agent
from tests.unit.agent.sftp import open_session
from tests.unit.agent.wire import CONNECT, LISTEN, Host

USER = "1000:1001"
ROOM = "/mnt"
"""A file system of the agent's own, where everybody may enter."""

SERVE = """
import os, socket, struct
server = socket.socket(socket.AF_UNIX)
server.bind("/mnt/server")
os.chmod("/mnt/server", {mode})
server.listen()
print("ready", flush=True)
peer, _ = server.accept()
print(struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1:])
"""


@pytest.fixture
def host(agent_binary: Path) -> Iterator[Host]:
    """An agent that is root."""
    prefix = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--net"]
    prefix += ["sh", "-c", f'mount -t tmpfs -o mode=755 room {ROOM} && exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this host has no user namespaces with ids")
    running = start_agent(agent_binary, prefix)
    try:
        running.host.connect()
        yield running.host
        assert running.host.exec("id", "-u").stdout == b"0\n"
        assert running.host.exec("id", "-G").stdout == b"0\n"
        assert running.end() == 0
    finally:
        running.host.sock.close()
        running.process.kill()
        running.process.wait()


def shell(host: Host, script: str) -> str:
    """Run a script as root in the agent's world; return what it says."""
    ended = host.exec("sh", "-ec", script)
    assert ended.status == 0, ended.stderr
    return ended.stdout.decode().strip()


@contextlib.contextmanager
def user_session(host: Host) -> Iterator[SftpClient]:
    """A session of the user, until its end."""
    client, stream = open_session(host, Path(ROOM), ("USER", USER))
    client.greet()
    yield client
    host.write(stream, b"")
    assert host.wait(stream).result == {}


def test_a_session_reads_and_writes_as_its_user(host: Host) -> None:
    shell(host, f"umask 077; echo x >{ROOM}/secret; mkdir -m 777 {ROOM}/open")
    with user_session(host) as client:
        assert client.ask(OPEN, "secret", FOR_READING, NOTHING).status == PERMISSION_DENIED
        new = FOR_WRITING | CREATE
        assert client.ask(OPEN, "new", new, NOTHING).status == PERMISSION_DENIED
        assert client.ask(SETSTAT, ".", Attributes(mode=0o777)).status == PERMISSION_DENIED
        client.open("open/mine", new)
    assert shell(host, f"stat -c '%u:%g %a' {ROOM}/open/mine") == f"{USER} 644"


def test_a_session_has_nothing_of_the_agent_s(host: Host) -> None:
    """Neither its capabilities nor its groups nor its descriptors."""
    with user_session(host) as client:
        handle = client.open_directory("/proc/self/fd")
        found = {name for name, _, _ in client.ask(READDIR, handle).names()}
        # Its pipes, the console, its report, and the directory itself.
        assert found == {b".", b"..", b"0", b"1", b"2", b"3", b"4"}
        agent = shell(host, "echo $PPID")
        worker = shell(host, f"cut -d ' ' -f 1 /proc/{agent}/task/{agent}/children")
        facts = shell(host, f"grep -E '^(Uid|Gid|Groups|CapEff|CapPrm)' /proc/{worker}/status")
    assert [line.split() for line in facts.splitlines()] == [
        ["Uid:", *["1000"] * 4],
        ["Gid:", *["1001"] * 4],
        ["Groups:", "1001"],
        ["CapPrm:", "0" * 16],
        ["CapEff:", "0" * 16],
    ]


@pytest.mark.parametrize(
    ("mode", "user", "code"),
    [("0o600", USER, "denied"), ("0o777", USER, None), ("0o600", None, None)],
)
def test_a_unix_socket_is_reached_as_the_user(
    host: Host, mode: str, user: str | None, code: str | None
) -> None:
    """The server also hears whose connection it is."""
    server = host.start("python3", "-c", SERVE.format(mode=mode))
    host.wait_output(server, b"ready\n")
    stream = host.open(CONNECT, ("PATH", f"{ROOM}/server"), *([("USER", user)] if user else []))
    if code is not None:
        assert host.wait(stream).code == code
        host.close_stream(server)
        host.wait(server)
        return
    host.wait_event(stream)
    expected = b"(1000, 1001)" if user else b"(0, 0)"
    assert host.wait(server).stdout == b"ready\n" + expected + b"\n"


def test_a_socket_is_made_and_removed_as_the_user(host: Host) -> None:
    """G1."""
    shell(host, f"mkdir -m 777 {ROOM}/open")
    path = f"{ROOM}/open/socket"
    stream = host.open(LISTEN, ("PATH", path), ("USER", USER))
    host.wait_event(stream)
    assert shell(host, f"stat -c '%u:%g %a' {path}") == f"{USER} 600"
    host.close_stream(stream)
    assert host.wait(stream).code == "closed"
    assert shell(host, f"ls {ROOM}/open") == ""


def test_what_the_user_may_not_remove_stays(host: Host) -> None:
    """The agent's own rights are not used in a directory that the user has changed meanwhile."""
    shell(host, f"mkdir -m 777 {ROOM}/open")
    stream = host.open(LISTEN, ("PATH", f"{ROOM}/open/socket"), ("USER", USER))
    host.wait_event(stream)
    shell(host, f"chmod 755 {ROOM}/open")
    host.close_stream(stream)
    host.wait(stream)
    assert shell(host, f"ls {ROOM}/open") == "socket"


@pytest.mark.parametrize(
    "place",
    [[("PATH", f"{ROOM}/socket")], [("HOST", "0.0.0.0"), ("PORT", 80)]],
    ids=["directory", "low port"],
)
def test_what_only_root_may_listen_on(host: Host, place: list[tuple[str, str | int]]) -> None:
    assert host.call(LISTEN, *place, ("USER", USER)).code == "denied"
    stream = host.open(LISTEN, *place)
    host.wait_event(stream)
    host.close_stream(stream)
    assert host.wait(stream).code == "closed"
