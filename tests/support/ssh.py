"""OpenSSH's programs, configured as `banger ssh-config` has it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.installations import Installation, wait_for

DEADLINE_S = 120.0


class SshClient:
    """ssh and what is built on it. `folder` is short: sockets are made there."""

    def __init__(self, banger: Installation, folder: Path) -> None:
        self.banger = banger
        self.folder = folder
        self.config = folder / "config"
        self.config.write_bytes(banger.do("ssh-config").out)

    def start(self, program: str, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program that takes ssh's -F."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(
            [program, "-F", str(self.config), *words],
            env=self.banger.environ,
            start_new_session=True,
            bufsize=0,
            **{**pipes, **options},
        )

    @contextlib.contextmanager
    def running(self, program: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A program that takes ssh's -F, ended after the block."""
        with self.start(program, *words) as process:
            try:
                yield process
            finally:
                _end(process)

    def run(
        self, program: str, *words: str, stdin: bytes = b"", status: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end and check its status."""
        done = subprocess.run(
            [program, "-F", str(self.config), *words],
            input=stdin,
            capture_output=True,
            env=self.banger.environ,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == status, done
        return done

    def finish(self, process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
        """Wait for a program's end; return its status and its outputs."""
        out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, err

    def ssh(self, *words: str, stdin: bytes = b"", status: int = 0) -> bytes:
        """Return what a command in a guest prints."""
        return self.run("ssh", *words, stdin=stdin, status=status).stdout

    @contextlib.contextmanager
    def forwarding(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """ssh without a command, for the forwards that the words ask for; all of them stand."""
        with self.running("ssh", "-N", "-o", "ExitOnForwardFailure=yes", *words) as process:
            yield process


def _end(process: subprocess.Popen[bytes]) -> None:
    """End an ssh, which forgets a signal that comes just before it begins to wait."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_listening(place: tuple[str, int] | str) -> None:
    """Return once something accepts connections at an address, or at the path of a socket."""

    def accepts() -> bool:
        family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
        with socket.socket(family) as probe:
            return probe.connect_ex(place) == 0

    wait_for(accepts, f"a listener at {place}")


def exchange(place: tuple[str, int] | str, data: bytes) -> bytes:
    """Send data and the end, and return all that comes back: nothing if the connection breaks."""
    family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
    with socket.socket(family) as sock, contextlib.suppress(ConnectionError):
        sock.settimeout(DEADLINE_S)
        sock.connect(place)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as file:
            return file.read()
    return b""
