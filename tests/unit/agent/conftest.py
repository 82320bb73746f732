"""The real agent as a host process over a socket pair.

Each test runs twice where clang is there: with the agent as it ships, and with it under
AddressSanitizer and UndefinedBehaviorSanitizer. Both are built once per run, the first
only if the one in the source tree is stale.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import select
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.artifacts import CHECKOUT
from tests.unit.agent.wire import Host

BUILDS = ["shipped", "sanitized"] if shutil.which("clang") else ["shipped"]
END_S = 20


def current_version() -> str:
    """Return the version string that the sources of now would give."""
    spec = importlib.util.spec_from_file_location("hatch_build", CHECKOUT / "agent/hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.agent_version())


def built_version(binary: Path) -> str:
    if not os.access(binary, os.X_OK):
        return ""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def agent_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


def make(out: Path, *targets: str) -> None:
    command = ["make", "-s", "-C", str(CHECKOUT / "agent"), f"OUT={out}", *targets]
    subprocess.run(command, check=True, timeout=300)


@pytest.fixture(scope="session", params=BUILDS)
def agent_binary(request: pytest.FixtureRequest, agent_out: Path) -> Path:
    """Path of an agent made from the sources of now."""
    if request.param == "sanitized":
        make(agent_out, "asan")
        return agent_out / "banger-agent-asan"
    architecture = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    shipped = CHECKOUT / "src/banger/guest/agent" / architecture / "banger-agent"
    if built_version(shipped) == current_version():
        return shipped
    make(agent_out, "all")
    return agent_out / "banger-agent"


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


@dataclass
class Agent:
    """A running agent, its host end, and the process."""

    host: Host
    process: subprocess.Popen[bytes]

    def end(self) -> int:
        """Hang up; the agent must end by itself, and in order."""
        self.host.sock.close()
        return self.process.wait(END_S)


def start_agent(binary: Path) -> Agent:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [binary, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    return Agent(Host(ours), process)


@pytest.fixture
def agent(agent_binary: Path) -> Iterator[Agent]:
    """A connected agent. Its end is checked: no crash, no sanitizer report, no leak."""
    running = start_agent(agent_binary)
    try:
        running.host.connect()
        yield running
        assert running.end() == 0
    finally:
        running.host.sock.close()
        running.process.kill()
        running.process.wait()


@pytest.fixture
def host(agent: Agent) -> Host:
    return agent.host
