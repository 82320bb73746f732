"""What ssh costs: memory, whatever is sent and however slowly it is taken; nothing is left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.component.ssh.conftest import DEADLINE_S, Host
from tests.support.installations import wait_for
from tests.support.sampling import choose_size

MIB = 1024 * 1024
MOST = 96 * MIB
"""Of memory, for the front and the daemon each; they have 47 and 34."""
HELD_MOST = 16 * MIB
"""Bytes on their way that nobody takes: windows, and buffers of sockets; they are 2 MiB."""
FORWARDS = 200
MUCH_MIB = choose_size(256, 1024)


def peak(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("VmHWM")) * 1024


def test_much_comes_out_and_costs_no_memory(host: Host) -> None:
    """E2, H7: with its checksum."""
    found, size = hashlib.sha256(), 0
    command = f"head -c {MUCH_MIB}M /dev/zero | tr '\\0' 'x'"
    with host.running(command, stdout=subprocess.PIPE) as ssh:
        assert ssh.stdout is not None
        while piece := ssh.stdout.read(MIB):
            found.update(piece)
            size += len(piece)
        assert ssh.wait(DEADLINE_S) == 0
    assert size == MUCH_MIB * MIB
    expected = hashlib.sha256()
    for _ in range(MUCH_MIB):
        expected.update(b"x" * MIB)
    assert found.digest() == expected.digest()
    assert peak(host.front()) < MOST and peak(host.daemon) < MOST


def wait_held(host: Host, count: Callable[[], int]) -> None:
    """Return once a count of bytes stays while whole commands begin and end."""
    last = 0

    def is_held() -> bool:
        nonlocal last
        before, last = last, count()
        assert last < HELD_MOST
        assert host.run("echo between") == b"between\n"
        return 0 < before == last

    wait_for(is_held, "the bytes to be held back")


def test_a_program_that_does_not_read_holds_its_input_back(host: Host) -> None:
    """E2, H7: and no other session."""
    sent = 0

    def send() -> int:
        nonlocal sent
        with contextlib.suppress(BlockingIOError):
            while sent < HELD_MOST:
                sent += os.write(pipe, bytes(MIB))
        return sent

    with host.running("exec sleep 1000", stdin=subprocess.PIPE) as ssh:
        assert ssh.stdin is not None
        pipe = ssh.stdin.fileno()
        os.set_blocking(pipe, False)
        wait_held(host, send)
    assert peak(host.front()) < MOST and peak(host.daemon) < MOST


def test_a_client_that_does_not_read_holds_the_program_back(host: Host, short_dir: Path) -> None:
    """E2, H7: and no other session; what was held back comes when it is read."""
    written = short_dir / "written"
    program = f"for i in $(seq 64); do head -c {MIB} /dev/zero; echo >> {written}; done"
    with host.running(program, stdout=subprocess.PIPE) as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.read(1) == b"\0"
        wait_for(written.exists, "a first piece")
        wait_held(host, lambda: written.stat().st_size * MIB)
        assert len(ssh.stdout.read()) == 64 * MIB - 1
        assert ssh.wait(DEADLINE_S) == 0
    assert peak(host.front()) < MOST and peak(host.daemon) < MOST


def test_connections_that_break_leave_nothing(host: Host) -> None:
    """C5, H2: neither descriptors nor programs, at whatever point the client goes."""
    assert host.run("true") == b""
    front = host.front()
    processes = (front, host.daemon)

    def count_fds() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in processes]

    before = count_fds()
    for greeting in (b"", b"banger-", b"banger-ssh 1 box\n"):
        for _ in range(25):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(host.socket)
                sock.sendall(greeting)
    pids = [_leave_running(host) for _ in range(10)]
    wait_for(
        lambda: all(now <= then for now, then in zip(count_fds(), before, strict=True)),
        "the descriptors to be closed",
    )
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the programs to end")
    assert host.front() == front and host.run("echo still") == b"still\n"


def _leave_running(host: Host) -> int:
    """Kill ssh while its program runs; return the program's pid."""
    with host.running("echo $$; exec cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ssh:
        assert ssh.stdout is not None
        return int(ssh.stdout.readline())


def test_hundreds_of_forwarded_connections_at_once(host: Host, short_dir: Path) -> None:
    """H7: over one connection of ssh, each with its own answer."""
    local = str(short_dir / "local")
    with (
        reversing_server(short_dir / "server") as path,
        host.running("cat", "-L", f"{local}:{path}", stdin=subprocess.PIPE) as ssh,
        contextlib.ExitStack() as stack,
    ):
        assert ssh.stdin is not None
        wait_for(lambda: os.path.exists(local), "the forward")
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(FORWARDS)]
        for number, client in enumerate(clients):
            client.connect(local)
            client.settimeout(DEADLINE_S)
            client.sendall(b"number %d" % number)
        for number, client in enumerate(clients):
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as file:
                assert file.read() == (b"number %d" % number)[::-1]
        ssh.stdin.close()
        assert ssh.wait(DEADLINE_S) == 0


@contextlib.contextmanager
def reversing_server(path: Path) -> Iterator[str]:
    """A server, at this path, that says what each client says backwards."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(FORWARDS)
        thread = threading.Thread(target=_accept, args=[server])
        thread.start()
        try:
            yield str(path)
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE_S)


def _accept(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=_answer, args=server.accept()[:1], daemon=True).start()


def _answer(client: socket.socket) -> None:
    with client, client.makefile("rb") as file:
        client.sendall(file.read()[::-1])
