"""Start a daemon; imported only when none runs.

The child writes one JSON line to a pipe: ready for connections, or the error of its start. End of
file without a line means that the child died.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

from banger.api.wire import error_from_wire
from banger.errors import DaemonUnreachable, DeadlineExceeded
from banger.host.files import ensure_private_dir
from banger.host.programs import spawn_detached
from banger.layout import Layout

START_DEADLINE_S = 60.0
"""The new daemon waits up to 30 s for a stopping daemon, and recovery takes up to 5 s."""

TAIL_BYTES = 2000

PASSED_ON = ("XDG_", "BANGER_", "DOCKER_CONFIG", "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS")
"""Prefixes of environment variables passed to the daemon, besides those of `host.programs`."""


def start_daemon(layout: Layout) -> None:
    """Start a daemon and wait until a daemon answers: the new one, or another that was faster.

    Raises:
        BangerError: the daemon's own error at its start.
        DaemonUnreachable: the daemon died without reporting an error.
        DeadlineExceeded: the daemon reported nothing in time.
    """
    ensure_private_dir(layout.daemon_output.parent)
    said_before = _size(layout.daemon_output.as_posix())
    reading, writing = os.pipe()
    try:
        # -P: never import from the user's current directory.
        argv = [sys.executable, "-P", "-m", "banger.daemon", "--ready-fd", str(writing)]
        spawn_detached(argv, log_file=layout.daemon_output, pass_fds=(writing,), env=_environment())
    finally:
        os.close(writing)
    try:
        line = _read_line(reading, layout)
    finally:
        os.close(reading)
    _require_ready(line, layout, said_before=said_before)


def _environment() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    if "PYTHONPATH" in env:
        # Relative paths would break, since the daemon changes its working directory.
        parts = env["PYTHONPATH"].split(os.pathsep)
        env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(part) for part in parts if part)
    # What a thread frees is of use to the others: 3.7 MiB less when a VM has been made.
    env["MALLOC_ARENA_MAX"] = "1"
    return env


def _read_line(fd: int, layout: Layout) -> bytes:
    end = time.monotonic() + START_DEADLINE_S
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    line = b""
    while not line.endswith(b"\n"):
        if not poller.poll(max(0.0, end - time.monotonic()) * 1000):
            raise DeadlineExceeded(
                f"The daemon did not start within {START_DEADLINE_S:g} s; its log is "
                f"{layout.daemon_log}.",
                hint="banger daemon logs",
            )
        data = os.read(fd, 65536)
        if not data:
            break
        line += data
    return line


def _require_ready(line: bytes, layout: Layout, *, said_before: int) -> None:
    try:
        outcome = json.loads(line)
    except ValueError:
        raise DaemonUnreachable(
            f"The daemon exited during its start; see {layout.daemon_output}.",
            hint="banger daemon run",
            details=_read_tail(layout.daemon_output.as_posix(), said_before),
        ) from None
    if "error" in outcome:
        raise error_from_wire(outcome["error"])


def _size(path: str) -> int:
    return os.stat(path).st_size if os.path.exists(path) else 0


def _read_tail(path: str, start: int) -> str:
    """Return the output after offset `start`, at most the last `TAIL_BYTES`."""
    with open(path, "rb") as file:
        file.seek(max(start, _size(path) - TAIL_BYTES))
        return file.read(TAIL_BYTES).decode("utf-8", "replace").strip()
