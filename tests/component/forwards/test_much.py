"""Much through a forward, both ways at once, with checksums and the memory that it took."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.artifacts import CHECKOUT
from tests.support.loopbacks import own_address
from tests.support.sampling import choose_size

MIB = 2**20
MUCH_MIB = choose_size(256, 1024)
BLOCK = random.Random(5).randbytes(MIB)
PATIENCE_S = 600


def blocks() -> Iterator[bytes]:
    """So many bytes, of which no part is like another, for the price of a mebibyte."""
    for number in range(MUCH_MIB):
        yield number.to_bytes(8, "big") + BLOCK[8:]


def send_all(sock: socket.socket) -> None:
    for block in blocks():
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)


def digest(sock: socket.socket) -> str:
    found = hashlib.blake2b()
    while data := sock.recv(MIB):
        found.update(data)
    return found.hexdigest()


@contextlib.contextmanager
def talking(sock: socket.socket) -> Iterator[list[str]]:
    """Send all in a thread; the digest of what comes meanwhile is in the list."""
    heard: list[str] = []
    threads = [
        threading.Thread(target=send_all, args=(sock,)),
        threading.Thread(target=lambda: heard.append(digest(sock))),
    ]
    for thread in threads:
        thread.start()
    yield heard
    for thread in threads:
        thread.join(PATIENCE_S)


@pytest.mark.timeout(PATIENCE_S)
def test_much_each_way_at_once(agent_binary: Path) -> None:
    """E2, H7: whole and in order, within the memory of a few windows."""
    address = own_address()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        words = ("-m", "tests.component.forwards.forwarder", agent_binary, address, str(port))
        with subprocess.Popen(
            [sys.executable, *words], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as forwarder:
            assert forwarder.stdin and forwarder.stdout
            assert forwarder.stdout.readline() == b"open\n"
            before = peak_bytes(forwarder.pid)
            with socket.create_connection((address, port)) as client:
                peer, _ = server.accept()
                with peer, talking(client) as back, talking(peer) as there:
                    pass
            expected = hashlib.blake2b()
            for block in blocks():
                expected.update(block)
            assert back == there == [expected.hexdigest()]
            assert peak_bytes(forwarder.pid) - before < 16 * MIB
            forwarder.stdin.close()
            assert forwarder.wait(PATIENCE_S) == 0


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had at once."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [kib] = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return kib * 1024
