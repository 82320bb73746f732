"""Programs of tests, forked from a process that has imported their modules.

The command line costs 35 ms of processor time by itself and 10 ms forked, a daemon 0.25 s and
0.03 s. `Forked` is a `subprocess.Popen` of `[sys.executable, "-m", PROGRAM, *ARGUMENTS]` whose
process is a child of one of our servers (`tests.support.forkserver`): one has the modules of the
command line, one those of the daemon, and one what a daemon has that a client has started.
`start_banger` starts the command line, by itself where the environment changes how Python starts,
and always with BANGER_TEST_FORK=0. The daemon of a forked command is forked as well
(`forked_daemons`).

A server lives until `end_forkservers`, or until its starter dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from banger.host.programs import environment, spawn_detached
from tests.support.artifacts import CHECKOUT

PATH = os.pathsep.join((str(CHECKOUT / "src"), str(CHECKOUT)))
COMMAND_LINE = (
    "banger.cli.app.main",
    "banger.cli.app.context",
    "banger.cli.commands.exec",
    "banger.cli.commands.list",
    "banger.cli.commands.vm",
    "banger.client.client",
)
STARTED_DAEMON = (
    "banger.daemon.app",
    "banger.api.wire",
    # What a daemon itself loads on demand.
    "banger.images.build",
    "banger.images.commit",
    "banger.images.registry.pull",
    "banger.kernels.building",
    "banger.kernels.pull",
    "banger.workspace.importing",
)
DAEMON = (*STARTED_DAEMON, "tests.support.specs")
DAEMON_START = {
    "PYTHONPATH": PATH,
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",
}
"""What Python reads at the start of a daemon, unless the user has set more."""
START_VARIABLES = ("PYTHON", "LC_", "LANG", "LD_", "GLIBC_", "MALLOC_")
"""Prefixes of what Python and its C library read only at their start."""
REQUEST_BYTES = 30_000
"""As JSON up to six times as long, which must fit in a socket's buffer."""
LIMITS = 16
"""RLIM_NLIMITS of Linux."""
_servers: dict[tuple[str, ...], _Server] = {}
_starting = threading.Lock()
polling = threading.RLock()
"""Held again when one that is garbage is collected meanwhile, whose end is polled as well."""


@dataclass(frozen=True)
class _Server:
    requests: socket.socket
    process: subprocess.Popen[bytes]
    start_variables: dict[str, str]
    address: str
    """Of requests by others than the process that has started it."""


class Forked(subprocess.Popen[bytes]):
    """A program that a server has forked. `preexec_fn`: none, or `take_terminal`.

    `requests` is the way to a server of another process; else it is one of our own.
    """

    def __init__(self, *args: Any, requests: socket.socket | None = None, **options: Any) -> None:
        self._requests = requests
        super().__init__(*args, **options)

    def _execute_child(
        self,
        args: Sequence[str],
        executable: None,
        preexec_fn: Callable[[], None] | None,
        close_fds: bool,
        pass_fds: Sequence[int],
        cwd: str | os.PathLike[str] | None,
        env: Mapping[str, str] | None,
        startupinfo: None,
        creationflags: int,
        shell: bool,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        restore_signals: bool,
        gid: None,
        gids: None,
        uid: None,
        umask: int,
        start_new_session: bool,
        process_group: int,
    ) -> None:
        assert preexec_fn in (None, take_terminal)
        assert (shell, umask, process_group) == (False, -1, -1)
        python, *words = map(os.fsdecode, args)
        flags, (_, program, *arguments) = words[: words.index("-m")], words[words.index("-m") :]
        assert python == sys.executable
        streams = enumerate((p2cread, c2pwrite, errwrite))
        given = {fd: fd for fd in pass_fds} | {n: n if fd == -1 else fd for n, fd in streams}
        request = {
            "flags": flags,
            "program": program,
            "arguments": arguments,
            "environ": dict(os.environ if env is None else env),
            "directory": os.path.abspath(os.fsdecode(cwd or ".")),
            "umask": _read_umask(),
            "limits": [resource.getrlimit(number) for number in range(LIMITS)],
            "fds": sorted(given),
            "new_session": start_new_session,
            "takes_terminal": preexec_fn is take_terminal,
            "daemons": find_daemon_server() if program == "banger" else None,
        }
        modules = COMMAND_LINE if program == "banger" else DAEMON
        requests = self._requests or _find_or_start_server(modules).requests
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fds = [theirs.fileno(), *(given[fd] for fd in sorted(given))]
            socket.send_fds(requests, [json.dumps(request).encode()], fds)
        self._close_pipe_fds(  # type: ignore[attr-defined]  # private
            p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite
        )
        self.pid = int(self._receive("pid"))
        self._child_created = True

    def leave(self) -> None:
        """Let the program outlive this process, which does not learn how it ends."""
        self.returncode = 0
        self._control.close()

    def _wait(self, timeout: float | None) -> int:
        while self._internal_poll() is None:
            if not select.select([self._control], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        with polling:
            if self.returncode is None and select.select([self._control], [], [], 0)[0]:
                self.returncode = os.waitstatus_to_exitcode(int(self._receive("ended")))
                self._control.close()
            return self.returncode

    def _receive(self, kind: str) -> str:
        told, _, what = self._control.recv(64).decode().partition(" ")
        if told != kind:
            self._control.close()
            raise AssertionError(f"the forkserver said {told!r}, no {kind}: {self.args!r}")
        return what


def find_daemon_server() -> str:
    """Return the address of the server for `spawn_daemon`; start it, unless it runs."""
    return _find_or_start_server(STARTED_DAEMON).address


def spawn_daemon(
    address: str,
    argv: Sequence[str],
    *,
    log_file: Path,
    pass_fds: Sequence[int],
    env: Mapping[str, str],
) -> int:
    """Start a daemon as `host.programs.spawn_detached` does, forked by the server at an address."""
    environ = environment(env)
    if not _starts_alike(environ, DAEMON_START):
        return spawn_detached(argv, log_file=log_file, pass_fds=pass_fds, env=env)
    with (
        open(log_file, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as output,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as requests,
    ):
        requests.connect(address)
        process = Forked(
            argv,
            requests=requests,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environ,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    process.leave()
    return process.pid


def take_terminal() -> None:
    """Make stdin the controlling terminal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def start_banger(
    *words: str | os.PathLike[str],
    env: Mapping[str, str],
    prefix: Sequence[str] = (),
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start the command line, with the options of `subprocess.Popen`.

    `prefix` is the command that runs it, which is by itself then.
    """
    argv = [*prefix, sys.executable, "-m", "banger", *map(os.fspath, words)]
    start = Forked if not prefix and _can_fork(argv, env) else subprocess.Popen
    return start(argv, env=env, **options)


def end_forkservers() -> None:
    """Have the servers end, if there are any; programs go on."""
    while _servers:
        _, server = _servers.popitem()
        server.requests.close()
        server.process.kill()
        server.process.wait()


def _can_fork(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    size = sum(len(os.fsencode(word)) for word in (*argv, *environ, *environ.values()))
    return (
        os.environ.get("BANGER_TEST_FORK") != "0"
        and size < REQUEST_BYTES
        and _starts_alike(environ, _find_or_start_server(COMMAND_LINE).start_variables)
    )


def _starts_alike(environ: Mapping[str, str], served: Mapping[str, str]) -> bool:
    """Tell whether Python starts as a server has; it may find modules in more folders, first."""
    own, there = _start_variables(environ), dict(served)
    path, rest = own.pop("PYTHONPATH", ""), there.pop("PYTHONPATH")
    return own == there and f":{path}".endswith(f":{rest}")


def _start_variables(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(START_VARIABLES)}


def _read_umask() -> int:
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("\nUmask:")[2].partition("\n")[0], 8)


def _find_or_start_server(modules: tuple[str, ...]) -> _Server:
    with _starting:
        if modules not in _servers:
            _servers[modules] = _start_server(modules)
        return _servers[modules]


def _start_server(modules: tuple[str, ...]) -> _Server:
    environ, flags = {**os.environ, "PYTHONPATH": PATH}, []
    if modules == STARTED_DAEMON:
        unset = _start_variables(environ)
        environ = {name: value for name, value in environ.items() if name not in unset}
        environ, flags = environ | DAEMON_START, ["-P"]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others:
        others.bind("")  # the kernel chooses an abstract name
        fds = (theirs.fileno(), others.fileno())
        words = [*flags, "-m", "tests.support.forkserver", ",".join(map(str, fds)), *modules]
        process = subprocess.Popen([sys.executable, *words], env=environ, pass_fds=fds)
        address = others.getsockname().decode("ascii")
    return _Server(ours, process, _start_variables(environ), address)
