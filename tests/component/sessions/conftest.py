"""An agent, and daemons that follow each other in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.component.daemon.running import banger, popen, scripted_daemon
from tests.support.agent import find_or_build_agent, running_agent
from tests.support.forked import Forked


@dataclass
class Box:
    """A VM called `box`, as far as its agent goes, and its daemon."""

    environ: dict[str, str]
    agent_fd: int

    @contextlib.contextmanager
    def daemon(self) -> Iterator[Forked]:
        """Run a daemon; it may be killed within the block."""
        fd = os.dup(self.agent_fd)
        environ = self.environ | {"BANGER_TEST_AGENT_FD": str(fd)}
        program = "tests.component.sessions.agent_daemon"
        with scripted_daemon(environ, program, pass_fds=(fd,)) as process:
            os.close(fd)
            yield process

    def run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return banger(self.environ, "vm", *words, stdin=stdin)

    def do(self, *words: str, stdin: bytes = b"") -> str:
        """Run a command that must succeed; return its output."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, (done.returncode, done.stderr)
        return done.stdout.decode()

    def json(self, *words: str) -> Any:
        return json.loads(self.do(*words, "--json"))

    def start(self, name: str, script: str, *options: str) -> None:
        words = ("session", "start", "--name", name, *options, "box", "--", "sh", "-c", script)
        assert self.do(*words) == f"{name}\n"

    def popen(self, *words: str, **more: object) -> subprocess.Popen[bytes]:
        return popen(self.environ, "vm", *words, **more)


@pytest.fixture(scope="session")
def agent_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_or_build_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture
def box(private_environ: dict[str, str], agent_binary: Path) -> Iterator[Box]:
    """A box without a daemon."""
    with running_agent(agent_binary) as agent:
        yield Box(private_environ, agent.socket.fileno())


@pytest.fixture
def served(box: Box) -> Iterator[Box]:
    """A box with a daemon."""
    with box.daemon():
        yield box
