"""Identity of processes that may outlive this one.

A pid alone identifies no process: the kernel reuses pids (hazard B2), and after a
reboot of the host every recorded pid is stale (B10). A process is identified by
pid, start time and the host's boot id. Signals go through a pidfd that is opened
before the identity is compared, so that they never reach another process.

Reads /proc and sends signals; kills a new process whose identity cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from banger.host import programs
from banger.host.files import REFUSALS

log = logging.getLogger(__name__)

RETRY_S = 0.2
REAP_S, REAP_POLL_S = 1.0, 0.005


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of one boot of this host.

    `start_ticks` is field 22 of /proc/PID/stat: clock ticks after boot.
    """

    pid: int
    start_ticks: int
    boot_id: str


@functools.cache
def read_boot_id() -> str:
    """Return the kernel's random id of this boot, which never changes within a process's life."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a live process, or None if it is gone or a zombie."""
    start = _read_start_ticks(pid)
    return None if start is None else ProcessIdentity(pid, start, read_boot_id())


def spawn_identified(
    argv: Sequence[str],
    *,
    log_file: Path,
    stdin: int | None = None,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] = "/",
) -> ProcessIdentity | None:
    """Start a process that outlives this one (`spawn_detached`); None: it has already ended.

    No await separates the fork from reading the identity. A process whose identity cannot be read
    is killed with its children, since it could not be found later.

    Raises:
        ToolMissing, HostFailed: the process could not be started.
        OSError: /proc cannot be read.
    """
    pid = programs.spawn_detached(
        argv,
        log_file=log_file,
        stdin=stdin,
        stdout=stdout,
        pass_fds=pass_fds,
        env=env,
        directory=directory,
    )
    try:
        identity = identify(pid)
    except BaseException:
        programs.kill_group(pid)
        end = time.monotonic() + REAP_S
        while _reap(pid) is None and time.monotonic() < end:
            time.sleep(REAP_POLL_S)
        raise
    if identity is None:
        _reap(pid)
    return identity


def is_alive(identity: ProcessIdentity) -> bool:
    """Tell whether exactly this process still runs."""
    return identify(identity.pid) == identity


def send_signal(identity: ProcessIdentity, number: signal.Signals) -> bool:
    """Signal exactly this process, never another with its pid; False if it is gone."""
    with _open_pidfd(identity) as fd:
        if fd is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
            return True
    return False


async def wait_gone(identity: ProcessIdentity) -> int | None:
    """Wait until exactly this process has ended; reap it if it is this process's child.

    Returns its exit status (-N for signal N), or None if it was not a child, whose status
    only its parent can read. Retries while the host is out of descriptors, since a waiter
    must not miss the end.
    """
    while True:
        try:
            with _open_pidfd(identity) as fd:
                if fd is not None:
                    await _readable(fd)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            log.warning("process %d cannot be watched yet: %s", identity.pid, error)
            await asyncio.sleep(RETRY_S)
        else:
            return _reap(identity.pid)


@contextlib.contextmanager
def _open_pidfd(identity: ProcessIdentity) -> Iterator[int | None]:
    """Open a pidfd of `identity` for a block; yield None if that process is gone."""
    try:
        fd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # Compared after opening: the descriptor now refers to the compared process for good.
        yield fd if is_alive(identity) else None
    finally:
        os.close(fd)


async def _readable(fd: int) -> None:
    """Wait until the descriptor is readable; a pidfd becomes readable when its process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, lambda: None if done.done() else done.set_result(None))
    try:
        await done
    finally:
        loop.remove_reader(fd)


def _reap(pid: int) -> int | None:
    with contextlib.suppress(ChildProcessError):
        reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped:
            return os.waitstatus_to_exitcode(status)
    return None


def _read_start_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name is in brackets and may contain any byte, even brackets.
    fields = stat[stat.rindex(b")") + 2 :].split()
    state, start = fields[0], fields[19]
    return None if state in (b"Z", b"X") else int(start)
