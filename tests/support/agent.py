"""The real agent as a process of this host, for tests of the host side.

The binary in the source tree is used if it is made from the sources of now, else one is
built into a directory of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from banger.guest import GuestConnection, connect
from tests.support.artifacts import CHECKOUT
from tests.support.native import build_shared

END_S = 20


def find_or_build_agent(out: Path) -> Path:
    """Return an agent made from the sources of now; `out` is where it may be built."""
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    shipped = CHECKOUT / "src/banger/guest/agent" / machine / "banger-agent"
    if shipped.exists() and _say_version([str(shipped)]) == current_version():
        return shipped
    make = ["make", "-s", "-C", str(CHECKOUT / "native/agent"), f"OUT={out}"]
    subprocess.run([*make, f"PYTHON={sys.executable}"], check=True, timeout=300)
    return out / "banger-agent"


def build_agent_of_version_1() -> Path:
    """Return these sources as an agent that speaks version 1 of the protocol, and no other.

    What such agents do differently (64 streams, large first windows, no STREAMS) is in the
    sources, for hosts of version 1; only the number that HELLO agrees on is another.
    """
    return build_shared("agent", "banger-agent", "CFLAGS=-DPROTOCOL_VERSION=1")


def current_version() -> str:
    """Return the version that the sources of now give."""
    return _say_version([sys.executable, str(CHECKOUT / "native/build.py")])


@dataclass
class RunningAgent:
    """An agent's process and the socket that leads to it."""

    process: subprocess.Popen[bytes]
    socket: socket.socket


@contextlib.contextmanager
def running_agent(
    binary: Path, *, status: int = 0, prefix: Sequence[str] = ()
) -> Iterator[RunningAgent]:
    """Run an agent, by a `prefix`; when the host has hung up it must end, with `status`."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [*prefix, binary, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    try:
        yield RunningAgent(process, ours)
        ours.close()
        assert process.wait(END_S) == status
    finally:
        ours.close()
        process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def agent_connection(
    binary: Path, *, prefix: Sequence[str] = ()
) -> AsyncIterator[GuestConnection]:
    """A connection to an agent of its own, run by a `prefix`."""
    with running_agent(binary, prefix=prefix) as agent:
        connection = await connect(agent.socket.dup(), deadline_s=END_S)
        agent.socket.close()
        try:
            yield connection
        finally:
            await asyncio.shield(connection.close())


def _say_version(command: list[str]) -> str:
    done = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()
