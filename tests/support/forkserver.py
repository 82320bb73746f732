"""Daemons of tests, forked from a process that has imported their modules.

A daemon that is started by itself spends 0.25 s of processor time on imports. `fork_program` has a
program run as `python -m PROGRAM ARGUMENTS` would, with the environment, working directory and
descriptors that it is given. Only its arguments and environment in /proc are the server's.

`python -m tests.support.forkserver FD` is the server; `fork_program` starts it, `end_forkserver`
has it end. It ends as well when who started it dies. Between it and each program is a process that
waits for the program and tells how it ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import site
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.support.artifacts import CHECKOUT

PRELOADED = ("banger.daemon.app", "banger.api.wire", "tests.support.specs")
MESSAGE_BYTES = 1 << 18
_servers: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []
"""None or one: this process's server, and the way to it."""


class Forked:
    """A program that the server has forked, as `subprocess.Popen` has its own."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        told = control.recv(MESSAGE_BYTES)
        assert told, "the forkserver has ended"
        self.pid = int(told)
        self.returncode: int | None = None

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; return its exit status, negative for a signal."""
        if self.returncode is None:
            if not select.select([self._control], [], [], timeout_s)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout_s or 0)
            with self._control:
                self.returncode = int(self._control.recv(MESSAGE_BYTES))
        return self.returncode

    def poll(self) -> int | None:
        """Return its exit status, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def fork_program(
    program: str,
    *arguments: str,
    environ: Mapping[str, str],
    fds: Mapping[int, int] | None = None,
    new_session: bool = False,
) -> Forked:
    """Have a program run. `fds`: by number there, which descriptor of this process it gets."""
    given = {0: 0, 1: 1, 2: 2, **(fds or {})}
    request = {
        "program": program,
        "arguments": arguments,
        "environ": dict(environ),
        "directory": os.getcwd(),
        "fds": list(given),
        "new_session": new_session,
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        fds_sent = [theirs.fileno(), *given.values()]
        socket.send_fds(_find_or_start_server(), [json.dumps(request).encode()], fds_sent)
    return Forked(ours)


def end_forkserver() -> None:
    """Have the server end, if there is one; programs go on."""
    while _servers:
        requests, server = _servers.pop()
        requests.close()
        server.kill()
        server.wait()


def _find_or_start_server() -> socket.socket:
    if not _servers:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fd = theirs.fileno()
            path = os.pathsep.join((str(CHECKOUT / "src"), str(CHECKOUT)))
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forkserver", str(fd)],
                env={**os.environ, "PYTHONPATH": path},
                pass_fds=(fd,),
            )
        _servers.append((ours, server))
    return _servers[0][0]


def serve(requests: socket.socket) -> None:
    """Fork programs until there are no more requests; return in each program, when it has run."""
    # An interrupt is for the tests, which end us and the programs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for module in PRELOADED:
        importlib.import_module(module)
    gc.freeze()
    while True:
        request, fds, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 64)
        if not request:
            return
        if os.fork() == 0:
            requests.detach()
            _run(json.loads(request), *fds)
            return
        for fd in fds:
            os.close(fd)


def _run(request: dict[str, Any], control: int, *fds: int) -> None:
    """Fork the program and tell of it; return in the program, when it has run."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        for fd in fds:
            os.close(fd)
        os.write(control, str(pid).encode())
        _, status = os.waitpid(pid, 0)
        os.write(control, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["new_session"]:
        os.setsid()
    _take_fds(dict(zip(request["fds"], fds, strict=True)))
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.argv[1:] = request["arguments"]
    sys.orig_argv[1:] = ["-m", request["program"], *request["arguments"]]
    _take_path(request["environ"].get("PYTHONPATH", ""))
    runpy.run_module(request["program"], run_name="__main__", alter_sys=True)


def _take_path(path: str) -> None:
    """Find modules where the environment says, `sitecustomize` as well."""
    sys.path[1:1] = [folder for folder in path.split(os.pathsep) if folder not in sys.path]
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
            try:
                os.close(fd)
            except OSError:  # that of the listing
                continue


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
