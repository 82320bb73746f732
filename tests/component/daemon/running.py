"""Start and end the scripted daemon; run the command line against it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from banger.layout import Layout, layout_from_environment
from tests.support.forkserver import Forked, fork_program

CHECKOUT = Path(__file__).resolve().parents[3]
DEADLINE_S = 30.0


def with_sources(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with our sources and tests on the path."""
    return {**environ, "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"}


@contextlib.contextmanager
def scripted_daemon(
    environ: Mapping[str, str],
    program: str = "tests.component.daemon.scripted",
    *,
    pass_fds: tuple[int, ...] = (),
) -> Iterator[Forked]:
    """A scripted daemon that can be connected to, ended on leaving."""
    reading, writing = os.pipe()
    process = fork_program(
        program,
        *("--ready-fd", str(writing)),
        environ=with_sources(environ),
        fds={fd: fd for fd in (writing, *pass_fds)},
    )
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            assert select.select([pipe], [], [], DEADLINE_S)[0], "the daemon did not start"
            assert pipe.readline() == b'{"ready": true}\n'
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def banger(
    environ: Mapping[str, str], *words: str, stdin: bytes = b"", **more: object
) -> subprocess.CompletedProcess[bytes]:
    """Run one command to its end."""
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        [sys.executable, "-m", "banger", *words],
        env=with_sources(environ),
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        **more,  # type: ignore[call-overload]
    )
    return done


def popen(environ: Mapping[str, str], *words: str, **more: object) -> subprocess.Popen[bytes]:
    """Start one command."""
    options: dict[str, object] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "banger", *words], env=with_sources(environ), **(options | more)
    )


def layout_of(environ: Mapping[str, str]) -> Layout:
    return layout_from_environment(environ)


def read_events(environ: Mapping[str, str]) -> list[str]:
    """Return what the scripted daemon's handlers have done."""
    path = layout_of(environ).state / "events"
    return path.read_text().splitlines() if path.exists() else []


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, not for a time."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"
