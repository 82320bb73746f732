"""A VMM of any kind as a host process: its start, in a jail where there is one, and its end.

Empties the VMM log of the VM; the rest of what the VMM inherits is its driver's. Takes no locks:
the engine holds the VM's lifecycle lock around every call. If the daemon dies between the fork
and the return of an identity, the VMM runs on without a record; its arguments name the VM
(`vmm.leftovers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypedDict

from msgspec import DecodeError

from banger.errors import HostNotReady, VmmFailed
from banger.host import programs
from banger.host.bubblewrap import read_child_pid, with_info
from banger.host.files import ensure_private_dir
from banger.host.identity import ProcessIdentity, identify, send_signal, spawn_identified, wait_gone
from banger.host.limits import limit_process
from banger.vmm.console import ConsoleFiles
from banger.vmm.driver import MachineConfig, VmmHandle

TERM_DEADLINE_S = 3.0
KILL_DEADLINE_S = 10.0
RESEND_S = 0.1
LOG_TAIL_BYTES = 2000
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit statuses of a killed VMM, and of its jail's monitor. Others above 128 may be a VMM's own."""
COMM_LENGTH = 15
"""Of a process's name, as the kernel has it."""


@dataclass(frozen=True, kw_only=True)
class Inherited:
    """What a VMM gets of ours at its start."""

    log: Path
    """Its stderr, and its jail's."""
    console: ConsoleFiles
    numbers: Sequence[int]
    """Descriptors that keep their numbers."""
    directory: Path = Path("/")
    """The VMM's working directory, if its jail shows it."""


class Started(NamedTuple):
    """The processes of a VMM that was just started."""

    process: ProcessIdentity
    monitor: ProcessIdentity | None = None
    """The jail's, if there is a jail."""


class _Options(TypedDict):
    log_file: Path
    stdin: int
    stdout: int
    pass_fds: Sequence[int]
    directory: Path


def begin_log(path: Path) -> None:
    """Empty the log: a log tells of one start of the VM."""
    ensure_private_dir(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    os.close(os.open(path, flags, 0o600))


def spawn_open(
    argv: Sequence[str],
    inherited: Inherited,
    *,
    also: Sequence[int] = (),
    variables: Mapping[str, str] | None = None,
) -> Started:
    """Start a VMM without a jail, with more descriptors and variables.

    Raises:
        VmmFailed: it has ended already.
        ToolMissing, HostFailed: it could not be started.
    """
    options = _options(inherited, *also)
    return Started(_alive(spawn_identified(argv, env=variables, **options), inherited.log))


async def spawn_jailed(
    command: Sequence[str], inherited: Inherited, *, before: Sequence[str] = ()
) -> Started:
    """Start a VMM in a jail (`jail.plan_jail`).

    `before`: a program that becomes the jail (`tap.plan_tap`).

    Raises:
        VmmFailed: it has ended already.
        HostNotReady: the jail could not be set up.
        ToolMissing, HostFailed: it could not be started.
    """
    reader, writer = os.pipe()
    try:
        try:
            options = _options(inherited, writer)
            started = spawn_identified([*before, *with_info(command, writer)], **options)
            monitor = _alive(started, inherited.log)
        finally:
            os.close(writer)
        try:
            process = await _read_child(reader, inherited.log)
        except BaseException:
            await asyncio.shield(_abandon(monitor))
            raise
    finally:
        os.close(reader)
    return Started(process, monitor)


async def finish_start(
    config: MachineConfig,
    started: Started,
    *,
    driver: str,
    binary: str,
    limits: Mapping[int, int],
) -> VmmHandle:
    """Limit a VMM that was just started, by RLIMIT_ number, and return its handle.

    It is ended if that fails.
    """
    try:
        limit_process(started.process, limits)
    except BaseException:
        await asyncio.shield(_abandon(started.monitor or started.process))
        raise
    return VmmHandle(
        driver=driver,
        vm_id=config.vm_id,
        process=started.process,
        program=os.path.basename(binary)[:COMM_LENGTH],
        monitor=started.monitor,
        control_socket=str(config.control_socket),
        agent_socket=str(config.agent_socket),
        vmm_log=str(config.vmm_log),
    )


async def _abandon(leader: ProcessIdentity) -> None:
    """End a child of ours that is in no record yet, with its children: its group is its session."""
    programs.kill_group(leader.pid)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILL_DEADLINE_S):
            await wait_gone(leader)


async def gone(handle: VmmHandle) -> int | None:
    """Return when a VMM and its monitor have ended; both are reaped if they are our children.

    The value is the VMM's exit status (for signal N -N, or 128+N where a monitor passes it on), or
    None if neither was our child, so that the status is unknown.
    """
    status = await wait_gone(handle.process)
    if handle.monitor is not None:
        return await wait_gone(handle.monitor)
    return status


async def end(handle: VmmHandle) -> None:
    """SIGTERM, on which a VMM flushes its disks and ends, then SIGKILL; return when it is gone.

    Raises:
        VmmFailed: not even SIGKILL ended it.
    """
    for number, deadline_s in (
        (signal.SIGTERM, TERM_DEADLINE_S),
        (signal.SIGKILL, KILL_DEADLINE_S),
    ):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await _signal_until_gone(handle, number)
                return
    raise VmmFailed(
        f"The VMM of VM {handle.vm_id} (pid {handle.process.pid}) did not exit after SIGKILL.",
        hint=f"cat /proc/{handle.process.pid}/stack",
    )


def is_this(handle: VmmHandle) -> bool:
    """Tell whether the handle's process runs and is that VMM still (hazards B2, B10)."""
    if identify(handle.process.pid) != handle.process:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{handle.process.pid}/comm").read_text().strip() == handle.program
    return False


def describe_end(status: int | None, log: Path) -> str:
    """Return how a VMM has ended (`gone`) and the last line of its log: the end of a sentence."""
    lines = read_log_tail(log).strip().splitlines()
    return f"{_describe_status(status)}{f': {lines[-1]}' if lines else '.'}"


def _describe_status(status: int | None) -> str:
    if status is None:
        return "has ended"
    if status in KILLED:
        return "was killed, by another process or by the kernel because memory ran out"
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


def read_log_tail(log: Path) -> str:
    """Return the end of what a VMM and its jail said."""
    with contextlib.suppress(OSError):
        return log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
    return ""


async def _signal_until_gone(handle: VmmHandle, number: signal.Signals) -> None:
    """Signal a VMM until it has ended: in a jail SIGTERM is lost until the VMM has a handler."""
    end_of_vmm = asyncio.ensure_future(gone(handle))
    try:
        while not end_of_vmm.done():
            send_signal(handle.process, number)
            await asyncio.wait((end_of_vmm,), timeout=RESEND_S)
        end_of_vmm.result()
    finally:
        end_of_vmm.cancel()


def _options(inherited: Inherited, *also: int) -> _Options:
    return {
        "log_file": inherited.log,
        "stdin": inherited.console.stdin,
        "stdout": inherited.console.stdout,
        "pass_fds": [*inherited.numbers, *also],
        "directory": inherited.directory,
    }


def _alive(identity: ProcessIdentity | None, log: Path) -> ProcessIdentity:
    if identity is None:
        raise VmmFailed("The VMM exited right after its start.", details=read_log_tail(log))
    return identity


async def _read_child(reader: int, log: Path) -> ProcessIdentity:
    """Return the identity of the process that bubblewrap made for the VMM."""
    try:
        identity = identify(await read_child_pid(reader))
    except TimeoutError as error:
        raise VmmFailed("The jail did not start in time.", details=read_log_tail(log)) from error
    except DecodeError as error:
        raise HostNotReady(
            "The jail could not be set up.", details=read_log_tail(log), hint="banger doctor"
        ) from error
    return _alive(identity, log)
