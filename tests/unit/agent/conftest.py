"""The real agent as a host process over a socket pair.

Each test runs twice where clang is there: with the agent as it ships, and with it under
AddressSanitizer and UndefinedBehaviorSanitizer. The first is built only if the one in the source
tree is stale, the second once for all runs of the same sources.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.agent import find_or_build_agent
from tests.support.native import build_shared
from tests.unit.agent.wire import Host

BUILDS = ["shipped", "sanitized"] if shutil.which("clang") else ["shipped"]
END_S = 20


@pytest.fixture(scope="session")
def agent_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture(scope="session", params=BUILDS)
def agent_binary(request: pytest.FixtureRequest, agent_out: Path) -> Path:
    """Path of an agent made from the sources of now."""
    if request.param == "sanitized":
        return build_shared("agent", "banger-agent-asan")
    return find_or_build_agent(agent_out)


def wait_gone(pid: int) -> None:
    """Return when the process has ended (as a zombie of somebody else, or altogether)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        assert poller.poll(END_S * 1000), f"process {pid} lives on"
    finally:
        os.close(fd)


def wait_still(pid: int, otherwise: str) -> None:
    """Return when a process has been found waiting many times, one after the other."""
    still = 0
    deadline = time.monotonic() + END_S
    while still < 20:
        assert time.monotonic() < deadline, otherwise
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        still = still + 1 if state == "S" else 0
        time.sleep(0.005)


@dataclass
class Agent:
    """A running agent, its host end, and the process."""

    host: Host
    process: subprocess.Popen[bytes]

    def end(self) -> int:
        """Hang up; the agent must end by itself, and in order."""
        self.host.sock.close()
        return self.process.wait(END_S)


def start_agent(binary: Path, prefix: Sequence[str] = ()) -> Agent:
    """Start an agent; `prefix` is the command that runs it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [*prefix, binary, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    return Agent(Host(ours), process)


@contextlib.contextmanager
def checked_agent(binary: Path, prefix: Sequence[str] = ()) -> Iterator[Agent]:
    """Yield a connected agent. Its end is checked: no crash, no sanitizer report, no leak."""
    running = start_agent(binary, prefix)
    try:
        running.host.connect()
        yield running
        assert running.end() == 0
    finally:
        running.host.sock.close()
        running.process.kill()
        running.process.wait()


@pytest.fixture
def agent(agent_binary: Path) -> Iterator[Agent]:
    with checked_agent(agent_binary) as running:
        yield running


@pytest.fixture
def host(agent: Agent) -> Host:
    return agent.host
