"""Where a measurement runs: private directories, the real command, timing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.artifacts import enter_cache, make_data_home
from tests.support.loopbacks import free_front_port

BANGER = str(Path(sys.executable).with_name("banger"))
COMMAND_DEADLINE_S = 900
STAGE_ROW = re.compile(r"(?P<name>\S.*?)  +(?P<seconds>[0-9.]+) s")
POOL = "BANGER_TEMPLATE_POOL"
"""Off but for the scenarios that are about it: a clone is made behind whatever was measured."""


class Stage:
    """One private banger: its directories, and how to call it."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self.directory = directory
        self.environ = environ

    def run(self, *argv: str, stdin: bytes | None = None, cwd: Path | None = None) -> bytes:
        """Run a program to its end and return its stdout; it must succeed."""
        return self._finish(argv, stdin=stdin, cwd=cwd).stdout

    def _finish(
        self, argv: Sequence[str], *, stdin: bytes | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=self.environ,
            cwd=cwd,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{argv} gave {done.returncode}: {done.stderr.decode()[-2000:]}")
        return done

    def banger(self, *argv: str, stdin: bytes | None = None) -> bytes:
        """Run banger."""
        return self.run(BANGER, *argv, stdin=stdin)

    def json(self, *argv: str) -> Any:
        """Run banger with --json and return what it says."""
        return json.loads(self.banger(*argv, "--json"))

    def time(self, argv: Sequence[str], *, stdin: bytes | None = None) -> float:
        """Return the seconds from a program's start to its end."""
        started = time.perf_counter()
        self.run(*argv, stdin=stdin)
        return time.perf_counter() - started

    def time_stages(self, argv: Sequence[str]) -> tuple[float, dict[str, float]]:
        """Return the seconds of a command of ours that has `--timings`, and of its stages."""
        started = time.perf_counter()
        done = self._finish(argv)
        seconds = time.perf_counter() - started
        rows = (STAGE_ROW.fullmatch(line) for line in done.stderr.decode().splitlines())
        return seconds, {row["name"]: float(row["seconds"]) for row in rows if row}

    def sample(self, argv: Sequence[str], count: int, *, stdin: bytes | None = None) -> list[float]:
        """Return the seconds of `count` runs, after one that does not count."""
        self.time(argv, stdin=stdin)
        return [self.time(argv, stdin=stdin) for _ in range(count)]

    @contextlib.contextmanager
    def pool(self) -> Iterator[None]:
        """Let clones be prepared for a block, as they are by default."""
        self.banger("daemon", "stop")
        del self.environ[POOL]
        try:
            yield
        finally:
            self.banger("daemon", "stop")
            self.environ[POOL] = "0"

    @contextlib.contextmanager
    def vm(self, *flags: str) -> Iterator[str]:
        """A running VM for a block."""
        name = f"bench-{time.monotonic_ns() % 10**6}"
        self.banger("vm", "create", "--name", name, *flags)
        try:
            yield name
        finally:
            self.banger("vm", "delete", name)


@contextlib.contextmanager
def open_stage() -> Iterator[Stage]:
    """Make the directories; end the daemon and remove them afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="bb.", dir="/tmp"))
    data_home = make_data_home(enter_cache())
    environ = {**os.environ, "XDG_DATA_HOME": str(data_home), POOL: "0"}
    environ["BANGER_NAMES_HTTP_PORT"] = str(free_front_port())
    names = {"XDG_RUNTIME_DIR": "r", "XDG_STATE_HOME": "s", "XDG_CONFIG_HOME": "c"}
    for variable, name in names.items():
        (directory / name).mkdir(mode=0o700)
        environ[variable] = str(directory / name)
    stage = Stage(directory, environ)
    try:
        yield stage
    finally:
        with contextlib.suppress(RuntimeError):
            stage.banger("daemon", "stop")
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(data_home, ignore_errors=True)
