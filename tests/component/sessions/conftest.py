"""An agent, and daemons that follow each other in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from banger import AsyncClient, Client
from tests.component.daemon.running import banger, popen, scripted_daemon
from tests.component.sdk.conftest import AsyncBox, SyncBox
from tests.support.agent import running_agent
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


class Daemons:
    """Two daemons of a box, one after the other."""

    def __init__(self, box: Box, daemons: contextlib.ExitStack) -> None:
        self._box = box
        self._daemons = daemons
        self._first = daemons.enter_context(box.daemon())

    def stop(self) -> None:
        """Have the first read nothing more."""
        os.kill(self._first.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """Kill the first."""
        self._first.kill()
        self._first.wait()

    def replace(self) -> None:
        """Kill the first, and start the second."""
        self.kill()
        self._daemons.enter_context(self._box.daemon())


@pytest.fixture
def daemons(box: Box, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemons]:
    """The daemons of the box, which this process's clients reach."""
    for name, value in box.environ.items():
        monkeypatch.setenv(name, value)
    with contextlib.ExitStack() as stack:
        yield Daemons(box, stack)


@pytest.fixture(params=["sync", "async"])
def vm(request: pytest.FixtureRequest, daemons: Daemons) -> Iterator[SyncBox | AsyncBox]:
    """The box's VM by either client."""
    if request.param == "sync":
        yield SyncBox(Client(autostart=False).get("box"))
        return
    with asyncio.Runner() as runner:
        yield AsyncBox(runner.run(AsyncClient(autostart=False).get("box")), runner)


def hold(gate: Path) -> str:
    """Return the part of a script that waits for a file."""
    return f"while [ ! -e {gate} ]; do sleep 0.05; done"
