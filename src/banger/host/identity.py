"""Identity of processes that may outlive us.

A pid alone names nobody: it is reused (hazard B2), and after a reboot of the
host every record is stale (B10). A process is named by pid, start time and the
host's boot id; signals go through a pidfd that was opened before the identity
was compared, so that nobody else can be hit.

Reads /proc; sends signals; owns nothing but a process whose identity cannot be read, which it ends.
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

from banger.host import proc
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
    """Return the kernel's random id of this boot; no process sees two."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a live process, or None (gone, or a zombie)."""
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
) -> ProcessIdentity | None:
    """Start a process that outlives us (`proc.spawn_detached`); None: it has ended already.

    No await stands between the fork and the identity. One whose identity cannot be read is ended,
    with its children: nobody could find it.

    Raises:
        ToolMissing, HostFailed: it could not be started.
        OSError: /proc cannot be read.
    """
    pid = proc.spawn_detached(
        argv, log_file=log_file, stdin=stdin, stdout=stdout, pass_fds=pass_fds, env=env
    )
    try:
        identity = identify(pid)
    except BaseException:
        proc.kill_group(pid)
        end = time.monotonic() + REAP_S
        while _reap(pid) is None and time.monotonic() < end:
            time.sleep(REAP_POLL_S)
        raise
    if identity is None:
        _reap(pid)
    return identity


def is_alive(identity: ProcessIdentity) -> bool:
    """Tell whether this very process still runs."""
    return identify(identity.pid) == identity


def send_signal(identity: ProcessIdentity, number: signal.Signals) -> bool:
    """Signal this very process; False if it is gone. Never hits another one."""
    with _open_pidfd(identity) as fd:
        if fd is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
            return True
    return False


async def wait_gone(identity: ProcessIdentity) -> int | None:
    """Return when this very process has ended; reap it if it is our child.

    The value is its exit status (-N for signal N), or None if it was not our
    child, so that nobody can tell. A host that has no descriptor left is asked again: who
    waits for an end must not miss it.
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
    """A pidfd of `identity` for a block, or None if that process is gone."""
    try:
        fd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # Compared after opening: from here on the descriptor names what we compared.
        yield fd if is_alive(identity) else None
    finally:
        os.close(fd)


async def _readable(fd: int) -> None:
    """Wait until the descriptor is readable; a pidfd is when its process has ended."""
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
    # The command name is in brackets and may hold anything, brackets too.
    fields = stat[stat.rindex(b")") + 2 :].split()
    state, start = fields[0], fields[19]
    return None if state in (b"Z", b"X") else int(start)
