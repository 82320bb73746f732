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
from tests.support.forked import PATH, Forked, start_banger

CHECKOUT = Path(__file__).resolve().parents[3]
DEADLINE_S = 30.0


def with_sources(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with our sources and tests on the path."""
    return {**environ, "PYTHONPATH": PATH}


@contextlib.contextmanager
def scripted_daemon(
    environ: Mapping[str, str],
    program: str = "tests.component.daemon.scripted",
    *,
    pass_fds: tuple[int, ...] = (),
) -> Iterator[Forked]:
    """A scripted daemon that can be connected to, ended on leaving."""
    reading, writing = os.pipe()
    process = Forked(
        [sys.executable, "-m", program, "--ready-fd", str(writing)],
        env=with_sources(environ),
        pass_fds=(writing, *pass_fds),
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
    with popen(environ, *words, **more) as process:
        try:
            out, err = process.communicate(stdin, timeout=60)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def popen(environ: Mapping[str, str], *words: str, **more: object) -> subprocess.Popen[bytes]:
    """Start one command."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return start_banger(*words, env=with_sources(environ), **{**pipes, **more})


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
