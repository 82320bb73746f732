"""A daemon with the real agent and the real ssh front, and OpenSSH configured for it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.component.daemon.running import banger, layout_of, scripted_daemon, with_sources

DEADLINE_S = 110


@dataclass
class Host:
    """A daemon whose only VM is `box`, and ssh's configuration for it."""

    environ: dict[str, str]
    daemon: int
    config: Path

    @property
    def socket(self) -> str:
        """The path of the front's socket."""
        return layout_of(self.environ).ssh_socket_name

    @contextlib.contextmanager
    def running(
        self, command: str, *options: str, **more: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """ssh, which is killed if the block leaves it."""
        argv = ["ssh", "-F", self.config, *options, "box.vm", command]
        more = {"stdin": subprocess.DEVNULL, **more}
        with subprocess.Popen(argv, env=with_sources(self.environ), **more) as ssh:
            try:
                yield ssh
            finally:
                ssh.kill()

    def run(self, command: str) -> bytes:
        """Return what a command prints; it must succeed."""
        with self.running(command, stdout=subprocess.PIPE) as ssh:
            out: bytes = ssh.communicate(timeout=DEADLINE_S)[0]
        assert ssh.returncode == 0
        return out

    def front(self) -> int:
        """Return the pid of the front, a child of the daemon."""
        pids = Path(f"/proc/{self.daemon}/task/{self.daemon}/children").read_text().split()
        [pid] = [p for p in pids if b"banger.ssh" in Path(f"/proc/{p}/cmdline").read_bytes()]
        return int(pid)


@pytest.fixture
def host(private_environ: dict[str, str], short_dir: Path, agent_binary: Path) -> Iterator[Host]:
    environ = private_environ | {"BANGER_TEST_AGENT": str(agent_binary)}
    config = short_dir / "ssh_config"
    config.write_bytes(banger(environ, "ssh-config").stdout)
    with scripted_daemon(environ, "tests.component.ssh.agent_daemon") as daemon:
        # When a request is answered, the front's socket is there.
        assert banger(environ, "daemon", "status").returncode == 0
        yield Host(environ, daemon.pid, config)
