"""The leak audit: what is left of a test run, found by the run's private directory.

Everything that banger starts or makes carries a path below its XDG directories
in its arguments, environment, working directory or name. `find_leaks` lists
what still does when all tests are over: processes, mounts, sockets, files.
Reads /proc and the run's directory; `end_processes` kills what `find_processes` found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from banger.host.identity import ProcessIdentity, identify, send_signal

SETTLE_S = 10.0
"""How long ended programs may take to be gone."""


def find_leaks(run_dir: Path, xdg_dirs: list[Path]) -> list[str]:
    """Return one line for each thing that is left. Waits a moment for processes to end."""
    deadline = time.monotonic() + SETTLE_S
    while find_processes(run_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [
        *(f"process {p.pid}: {_describe(p.pid)}" for p in find_processes(run_dir)),
        *(f"mount: {line}" for line in _find_mounts(run_dir)),
        *(f"listening socket: {path}" for path in _find_bound_sockets(run_dir)),
        *(f"file: {path}" for directory in xdg_dirs for path in _find_files(directory)),
    ]


def find_processes(run_dir: Path) -> list[ProcessIdentity]:
    """Return this user's processes, other than this one, that belong to the run."""
    marker = os.fsencode(run_dir)
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        # Identity before evidence: a pid reused in between is never reported.
        identity = identify(int(name))
        if identity and _belongs(Path("/proc", name), marker):
            found.append(identity)
    return found


def end_processes(processes: list[ProcessIdentity]) -> None:
    """Kill what leaked, so that one failure does not disturb the next run."""
    for identity in processes:
        send_signal(identity, signal.SIGKILL)


def _belongs(proc: Path, marker: bytes) -> bool:
    with contextlib.suppress(OSError):
        if f"\nUid:\t{os.getuid()}\t" not in (proc / "status").read_text("utf-8", "replace"):
            return False
        if marker in (proc / "cmdline").read_bytes():
            return True
        # These are closed to us when the program is not dumpable; the arguments never are.
        if marker in (proc / "environ").read_bytes():
            return True
        return os.fsencode(os.readlink(proc / "cwd")).startswith(marker)
    return False


def _describe(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return "(gone)"


def _find_mounts(run_dir: Path) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
        if str(run_dir) in line:
            yield line


def _find_bound_sockets(run_dir: Path) -> list[str]:
    """Return the bound Unix sockets of the run; the kernel lists only live ones."""
    lines = Path("/proc/net/unix").read_text("utf-8", "replace").splitlines()
    return [line.split()[-1] for line in lines if str(run_dir) in line]


def _find_files(directory: Path) -> Iterator[Path]:
    """Yield what must not outlive its VM or its operation, in one XDG directory of banger."""
    for path in directory.rglob("*"):
        relative = path.relative_to(directory).parts
        is_of_vm = len(relative) == 2 and relative[0] in ("vms", "staging")
        is_temporary = path.name.startswith(".") and path.is_file()
        if is_of_vm or path.is_socket() or is_temporary:
            yield path
