"""Start other programs: the only module that starts processes.

Owns nothing; touches whatever the started program touches. Every call takes a
list of arguments (never a shell line), gives the program a small fixed
environment, has a deadline and a limit for the kept output, and is logged as
one line that can be pasted into a shell.

Three shapes:

- `run` (async) and `run_sync`: start, wait, collect. A deadline or a
  cancellation kills the program's whole process group, so no child of a
  program that runs survives. `run_foreground`: the same on the user's terminal.
- `piped` (async): start with live pipes, for pipelines; killed, and the pipes
  closed, on leaving.
- `spawn_detached`: a process with a session and a log of its own, which
  outlives this one (VMMs, networks, the daemon). If this process dies right
  after the fork the child has no record: `gc` finds it by its arguments,
  which contain the VM's id.

The functions that need `asyncio` and `subprocess` import them, since the
command line loads this module and on most paths starts nothing.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shlex
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from banger.errors import (
    DeadlineExceeded,
    HostFailed,
    HostNotReady,
    NoSpace,
    ToolFailed,
    ToolMissing,
)

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger(__name__)

PASSED_ON = (
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""Environment variables passed on to programs, besides PATH and a fixed locale."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Appended to PATH, since an ordinary user's PATH often lacks sbin, where mke2fs is."""

LOWEST_PRIORITY = 19
OUTPUT_LIMIT = 16 * 1024 * 1024
TAIL_IN_ERRORS = 2000


@dataclass(frozen=True)
class Finished:
    """The result of a program. `status` is its exit status, or -N for signal N."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "replace")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment that every program gets, with `extra` on top."""
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env["PATH"] = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}".lstrip(":")
    env["LANG"] = env["LC_ALL"] = "C.UTF-8"
    env.update(extra or {})
    return env


def find_tool(name: str) -> str | None:
    """Return the path of a program in PATH or the system's directories, or None."""
    import shutil

    return shutil.which(name, path=environment()["PATH"])


def find_packaged(folder: Path, name: str, *, what: str, hint: str) -> Path:
    """Return a program or library of this package, of this machine's architecture.

    Raises:
        HostNotReady: the package was built without it.
    """
    machine = os.uname().machine
    path = folder / machine / name
    if not path.exists():
        raise HostNotReady(f"This banger has no {what} for {machine}.", hint=hint)
    return path


async def run(
    argv: Sequence[str],
    *,
    deadline_s: float,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    ok: Sequence[int] = (0,),
    output_limit: int = OUTPUT_LIMIT,
) -> Finished:
    """Run a program to its end.

    Raises:
        ToolMissing: the program is not installed.
        HostFailed: the host could not start the program.
        ToolFailed: its status is not in `ok`, or it wrote more than `output_limit` bytes.
        DeadlineExceeded: it took longer than `deadline_s`; its process group was killed.
    """
    import asyncio

    async with piped(argv, cwd=cwd, env=env, pass_fds=pass_fds) as process:
        try:
            async with asyncio.timeout(deadline_s):
                stdout, stderr = await _communicate(process, argv, stdin, output_limit)
                status = await process.wait()
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{argv[0]} did not finish within {deadline_s:g} s.", details=shlex.join(argv)
            ) from error
    return check(Finished(tuple(argv), status, stdout, stderr), ok)


def run_sync(
    argv: Sequence[str],
    *,
    deadline_s: float,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    ok: Sequence[int] = (0,),
) -> Finished:
    """Like `run`, for synchronous code (the command line)."""
    import subprocess

    log.debug("run %s", shlex.join(argv))
    with _tool_errors(argv):
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(env),
            start_new_session=True,
        )
    try:
        stdout, stderr = child.communicate(stdin, timeout=deadline_s)
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(
            f"{argv[0]} did not finish within {deadline_s:g} s.", details=shlex.join(argv)
        ) from error
    finally:
        if child.poll() is None:
            kill_group(child.pid)
            child.wait()
    return check(Finished(tuple(argv), child.returncode, stdout, stderr), ok)


def run_foreground(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run a program on the current terminal and return its status (-N for signal N).

    For programs that a person must see or answer: package managers, sudo's password prompt.
    Runs in the same session without a deadline, so Ctrl-C reaches the program.

    Raises:
        ToolMissing: the program is not installed.
        HostFailed: the host could not start the program.
    """
    import subprocess

    log.debug("run %s", shlex.join(argv))
    with _tool_errors(argv):
        return subprocess.run(argv, env=environment(env), check=False).returncode


@contextlib.contextmanager
def feed(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """Start a program on the current terminal; yield its stdin, and wait for its end on leaving.

    For pagers. Without a deadline, and in the same session; an interrupt is left to the program.

    Raises:
        ToolMissing: the program is not installed.
        HostFailed: the host could not start the program.
    """
    import subprocess

    log.debug("feed %s", shlex.join(argv))
    with _tool_errors(argv):
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, env=environment(env))
    assert child.stdin is not None
    try:
        yield child.stdin.fileno()
    finally:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        while child.returncode is None:
            with contextlib.suppress(KeyboardInterrupt):
                child.wait()


def replace_process(argv: Sequence[str]) -> NoReturn:
    """Become a program: with this process's terminal, descriptors and environment.

    For programs that the user asked for by name, such as ssh, which read the user's variables.

    Raises:
        ToolMissing: the program is not installed.
        HostFailed: the host could not start the program.
    """
    log.debug("exec %s", shlex.join(argv))
    with _tool_errors(argv):
        os.execvp(argv[0], list(argv))  # noqa: S606 - the door


@contextlib.asynccontextmanager
async def piped(
    argv: Sequence[str],
    *,
    stdin: int | IO[bytes] | None = None,
    stdout: int | IO[bytes] | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a program with pipes (or the given descriptors) and kill its group on leaving.

    Raises:
        ToolMissing: the program is not installed.
        HostFailed: the host could not start the program.
    """
    import asyncio
    import subprocess

    log.debug("start %s", shlex.join(argv))
    with _tool_errors(argv):
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=subprocess.PIPE if stdin is None else stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(env),
            pass_fds=pass_fds,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            kill_group(process.pid)
            await asyncio.shield(process.wait())
        # Its pipes, which a child of the program may hold for ever.
        process._transport.close()  # type: ignore[attr-defined]  # asyncio has no other way


def spawn_detached(
    argv: Sequence[str],
    *,
    log_file: Path,
    stdin: int | None = None,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] = "/",
) -> int:
    """Start a process that outlives this one and return its pid.

    The process has its own session and no terminal; stderr goes to `log_file`, and so does
    stdout by default. The caller records the process's identity (`host.identity.identify`)
    before relying on the process, and reaps it (`host.identity.wait_gone`).

    Raises:
        ToolMissing: the program is not installed.
        HostFailed: the host could not start it.
    """
    import subprocess

    log.info("spawn %s", shlex.join(argv))
    with open(log_file, "ab", opener=_private) as output, _tool_errors(argv):
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=output if stdout is None else stdout,
            stderr=output,
            cwd=directory,
            env=environment(env),
            pass_fds=pass_fds,
            start_new_session=True,
        )
    # The caller reaps the process, not this object: without this, Popen's finalizer
    # would warn, and later Popen calls would reap the process first.
    child.returncode = 0
    return child.pid


def check(finished: Finished, ok: Sequence[int] = (0,)) -> Finished:
    """Return `finished` if its status is in `ok`, else raise ToolFailed, or NoSpace (A10)."""
    if finished.status in ok:
        return finished
    how = (
        f"was killed by signal {-finished.status}"
        if finished.status < 0
        else f"failed with status {finished.status}"
    )
    said = (finished.stderr or finished.stdout)[-TAIL_IN_ERRORS:].decode("utf-8", "replace").strip()
    last = said.splitlines()[-1] if said else ""
    program = os.path.basename(finished.argv[0])
    details = f"$ {shlex.join(finished.argv)}\n{said}"
    if os.strerror(errno.ENOSPC).lower() in said.lower():
        raise NoSpace(
            f"A file system is full: {program} could not write.", hint="df -h", details=details
        )
    raise ToolFailed(f"{program} {how}{': ' + last if last else '.'}", details=details)


def kill_group(pid: int) -> None:
    """Send SIGKILL to the process group of a child that was started with its own session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def lower_priority(pid: int) -> None:
    """Lower the child's process group to the lowest CPU priority.

    Where the kernel groups processes by session (sched(7), "autogroup"), a nice value counts only
    within the session, and the group has a nice value of its own. The kernel accepts ten changes of
    group values a second on the whole host. A refusal is ignored.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, pid, LOWEST_PRIORITY)
        Path(f"/proc/{pid}/autogroup").write_text(str(LOWEST_PRIORITY), "ascii")


async def _communicate(
    process: asyncio.subprocess.Process, argv: Sequence[str], stdin: bytes, limit: int
) -> tuple[bytes, bytes]:
    """Feed stdin and read both outputs concurrently, so that neither side blocks the other."""
    import asyncio

    assert process.stdin and process.stdout and process.stderr
    _, stdout, stderr = await asyncio.gather(
        _feed(process.stdin, stdin),
        _read_bounded(process.stdout, argv, limit),
        _read_bounded(process.stderr, argv, limit),
    )
    return stdout, stderr


async def _feed(pipe: asyncio.StreamWriter, data: bytes) -> None:
    # A program may end without reading its input; its status tells whether that is bad.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(data)
        await pipe.drain()
    pipe.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await pipe.wait_closed()


async def _read_bounded(pipe: asyncio.StreamReader, argv: Sequence[str], limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := await pipe.read(65536):
        size += len(chunk)
        if size > limit:
            raise ToolFailed(f"{argv[0]} wrote more than {limit} bytes.", details=shlex.join(argv))
        parts.append(chunk)
    return b"".join(parts)


@contextlib.contextmanager
def _tool_errors(argv: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ToolMissing(f"{argv[0]} is not installed.", hint="banger setup") from error
    except PermissionError as error:
        # exec also fails so if a directory of PATH is not searchable and no other has the program.
        if find_tool(argv[0]) is not None:
            raise _not_started(argv, error) from error
        raise ToolMissing(f"{argv[0]} is not installed.", hint="banger setup") from error
    except OSError as error:
        raise _not_started(argv, error) from error


def _not_started(argv: Sequence[str], error: OSError) -> HostFailed:
    return HostFailed(f"{argv[0]} could not be started: {error.strerror or error}.")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
