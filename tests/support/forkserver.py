"""Fork programs from a process that has imported their modules: `... forkserver FDS MODULE...`.

The server of `tests.support.forked`, whose requests come on FDS, each with the descriptors of its
program; the modules are imported at the first. A program has what `python -m PROGRAM ARGUMENTS`
would give it: environment, directory, umask, limits, session, terminal, descriptors, standard
streams. Only its arguments and environment in /proc are the server's, and so is what Python has
chosen at its start: locale, flags, hash seed.

Imports little, since a program's fork and end cost by what is loaded. Ends with the requests on
the first of FDS, or by a signal; programs go on, and nobody is told how they end.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import resource
import runpy
import select
import signal
import site
import socket
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.forked_daemons import fork_daemons

MESSAGE_BYTES = 1 << 18
NEEDED_AT_END = ("sys", "builtins", "__main__")


def serve(sources: Sequence[socket.socket]) -> None:
    """Fork programs until there are no more requests; return in each program, when it has run."""
    _keep_modules()
    running: dict[int, tuple[int, int]] = {}
    poller = select.poll()
    for source in sources:
        poller.register(source, select.POLLIN)
    while True:
        for ready, _ in poller.poll():
            if ready in running:
                poller.unregister(ready)
                os.close(ready)
                _tell_end(*running.pop(ready))
                continue
            [source] = [each for each in sources if each.fileno() == ready]
            request, fds, _, _ = socket.recv_fds(source, MESSAGE_BYTES, 64)
            if not request:
                return
            control, *fds = fds
            if (pid := os.fork()) == 0:
                for source in sources:
                    source.detach()
                _run(json.loads(request), control, fds)
                return
            for fd in fds:
                os.close(fd)
            running[ended := os.pidfd_open(pid)] = (pid, control)
            poller.register(ended, select.POLLIN)


def _keep_modules() -> None:
    """Have the end of a program spare the modules that are loaded now: most of what it costs.

    Python's end clears what `sys.modules` has, and frees what is not in a frozen cycle.
    """
    loaded = {name: module for name, module in sys.modules.items() if name not in NEEDED_AT_END}
    cycle: list[object] = [loaded]
    cycle.append(cycle)
    atexit.register(lambda: [sys.modules.pop(name, None) for name in loaded])
    gc.collect()
    gc.freeze()


def _tell_end(pid: int, control: int) -> None:
    _, status = os.waitpid(pid, 0)
    _tell(control, b"ended %d" % status)
    os.close(control)


def _tell(control: int, what: bytes) -> None:
    """Tell it whoever asked; who has died meanwhile may have left unread what was told before."""
    with contextlib.suppress(ConnectionError):
        os.write(control, what)


def _run(request: dict[str, Any], control: int, fds: list[int]) -> None:
    """Become the program; tell its pid as soon as what others see of it is as they asked."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.umask(request["umask"])
    for number, limits in enumerate(request["limits"]):
        resource.setrlimit(number, limits)
    if request["new_session"]:
        os.setsid()
    if request["takes_terminal"]:
        fcntl.ioctl(fds[0], termios.TIOCSCTTY, 0)
    os.chdir(request["directory"])
    _tell(control, b"pid %d" % os.getpid())
    _take_fds(dict(zip(request["fds"], fds, strict=True)))
    sys.stdin = sys.__stdin__ = _open_stream(0, "r", sys.stdin)
    sys.stdout = sys.__stdout__ = _open_stream(1, "w", sys.stdout)
    sys.stderr = sys.__stderr__ = _open_stream(2, "w", sys.stderr)
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    sys.argv[1:] = request["arguments"]
    sys.orig_argv[1:] = [*request["flags"], "-m", request["program"], *request["arguments"]]
    if request["daemons"]:
        fork_daemons(request["daemons"])
    _take_path(request["environ"].get("PYTHONPATH", ""))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runpy.run_module(request["program"], run_name="__main__", alter_sys=True)


def _open_stream(fd: int, mode: str, like: Any) -> Any:
    """Open a standard stream as Python does at its start."""
    unbuffered = like.write_through
    size = 0 if unbuffered and mode == "w" else -1
    binary: Any = open(fd, f"{mode}b", size, closefd=False)  # noqa: SIM115 - open to the end
    getattr(binary, "raw", binary).name = like.name
    stream: Any = io.TextIOWrapper(
        binary,
        encoding=like.encoding,
        errors=like.errors,
        newline="\n",
        line_buffering=not unbuffered and (fd == 2 or binary.isatty()),
        write_through=unbuffered,
    )
    stream.mode = mode
    return stream


def _take_path(path: str) -> None:
    """Find modules in the working directory and where the environment says, `sitecustomize` too."""
    has_own = not sys.flags.safe_path
    if has_own:
        sys.path[0] = os.getcwd()
    if new := [folder for folder in path.split(os.pathsep) if folder not in sys.path]:
        sys.path[has_own:has_own] = new
        importlib.invalidate_caches()
        sys.modules.pop("sitecustomize", None)
        site.execsitecustomize()


def _take_fds(wanted: Mapping[int, int]) -> None:
    """Have these descriptors at their numbers, and no others."""
    # Above all that are wanted, since one may have the number that another one is to get.
    free = max(*wanted, *wanted.values()) + 1
    moved = {number: fcntl.fcntl(fd, fcntl.F_DUPFD, free) for number, fd in wanted.items()}
    for number, fd in moved.items():
        os.dup2(fd, number)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in wanted:
            with contextlib.suppress(OSError):  # that of the listing
                os.close(fd)


if __name__ == "__main__":
    # An interrupt is for the tests, which end us and the programs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sources = [socket.socket(fileno=int(fd)) for fd in sys.argv[1].split(",")]
    select.select(sources, [], [])
    for module in sys.argv[2:]:
        importlib.import_module(module)
    serve(sources)
