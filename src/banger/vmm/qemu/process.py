"""QEMU as a host process: started, identified, ended.

Writes the console log and the VMM log of the VM, its two sockets and the console's FIFO. Takes no
locks: the engine holds the VM's lifecycle lock around every call. If the daemon
dies between the fork and the return of the handle, QEMU runs on without a record;
its arguments name the VM (`vmm.leftovers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from msgspec import DecodeError, Struct
from msgspec.json import decode

from banger.errors import HostNotReady, VmmFailed
from banger.host import programs
from banger.host.files import ensure_private_dir
from banger.host.identity import ProcessIdentity, identify, send_signal, spawn_identified, wait_gone
from banger.host.limits import limit_process, read_stack_bytes
from banger.vmm.console import ConsoleFiles, console_files
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.qemu.argv import Descriptors, plan_argv
from banger.vmm.qemu.limits import plan_vmm_limits
from banger.vmm.qemu.memory_preload import find_memory_preload, preload_variables
from banger.vmm.qemu.probe import QemuFacts
from banger.vmm.qemu.sandbox import plan_sandbox, with_info
from banger.vmm.sockets import listening_socket

DRIVER_NAME = "qemu"
COMM_LENGTH = 15
INFO_DEADLINE_S = 10.0
TERM_DEADLINE_S = 3.0
KILL_DEADLINE_S = 10.0
LOG_TAIL_BYTES = 2000


class _SandboxInfo(Struct, frozen=True, rename="kebab"):
    child_pid: int


class _Inherited(NamedTuple):
    console: ConsoleFiles
    numbers: Sequence[int]


class _Options(TypedDict):
    log_file: Path
    stdin: int
    stdout: int
    pass_fds: Sequence[int]


async def start(
    config: MachineConfig, *, facts: QemuFacts, network: socket.socket | None
) -> VmmHandle:
    """Start QEMU for a machine and return its handle; it may still fail to come up."""
    _begin_log(config.vmm_log)
    with (
        listening_socket(config.control_socket) as control,
        listening_socket(config.agent_socket) as agent,
        console_files(config.console_input, config.console_log) as console,
    ):
        descriptors = Descriptors(
            control=control.fileno(),
            agent=agent.fileno(),
            network=None if network is None else network.fileno(),
        )
        argv = plan_argv(
            config, binary=facts.binary, version=facts.version, descriptors=descriptors
        )
        numbers = [fd for fd in vars(descriptors).values() if fd is not None]
        inherited = _Inherited(console, numbers)
        preload = None if config.memory is None else find_memory_preload()
        if facts.sandbox is None:
            process, monitor = _spawn_open(argv, preload, config=config, inherited=inherited), None
        else:
            command = plan_sandbox(facts.sandbox, argv, config=config, preload=preload)
            process, monitor = await _spawn_sandboxed(command, config=config, inherited=inherited)
    try:
        limits = plan_vmm_limits(
            vcpu=config.vcpu,
            memory_mib=config.memory_mib,
            accel=config.accel,
            stack_bytes=read_stack_bytes(),
        )
        limit_process(process, limits)
    except BaseException:
        await asyncio.shield(_abandon(monitor or process))
        raise
    return VmmHandle(
        driver=DRIVER_NAME,
        vm_id=config.vm_id,
        process=process,
        program=os.path.basename(facts.binary)[:COMM_LENGTH],
        monitor=monitor,
        control_socket=str(config.control_socket),
        agent_socket=str(config.agent_socket),
        vmm_log=str(config.vmm_log),
    )


async def gone(handle: VmmHandle) -> int | None:
    """Return when QEMU and its monitor have ended; both are reaped if they are our children.

    The value is QEMU's exit status (for signal N -N, or 128+N where a monitor passes it on), or
    None if neither was our child, so that nobody can tell.
    """
    status = await wait_gone(handle.process)
    if handle.monitor is not None:
        return await wait_gone(handle.monitor)
    return status


async def end(handle: VmmHandle) -> None:
    """SIGTERM, on which QEMU flushes its disks and ends, then SIGKILL; return when it is gone."""
    for number, deadline_s in (
        (signal.SIGTERM, TERM_DEADLINE_S),
        (signal.SIGKILL, KILL_DEADLINE_S),
    ):
        send_signal(handle.process, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await gone(handle)
                return
    raise VmmFailed(
        f"QEMU of VM {handle.vm_id} (pid {handle.process.pid}) did not exit after SIGKILL.",
        hint=f"cat /proc/{handle.process.pid}/stack",
    )


def is_this(handle: VmmHandle) -> bool:
    """Tell whether the handle's process runs and is QEMU still (hazards B2, B10)."""
    if identify(handle.process.pid) != handle.process:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{handle.process.pid}/comm").read_text().strip() == handle.program
    return False


def read_log_tail(handle: VmmHandle) -> str:
    """Return the end of what QEMU and its sandbox said."""
    with contextlib.suppress(OSError):
        return Path(handle.vmm_log).read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
    return ""


def _begin_log(path: Path) -> None:
    """Empty the log: a log tells of one start of the VM."""
    ensure_private_dir(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    os.close(os.open(path, flags, 0o600))


def _spawn_open(
    argv: Sequence[str], preload: Path | None, *, config: MachineConfig, inherited: _Inherited
) -> ProcessIdentity:
    """Start QEMU without a sandbox; the library is found by its descriptor, wherever it is."""
    if preload is None or config.memory is None:
        return _alive(spawn_identified(argv, **_options(config, inherited)), config)
    with open(preload, "rb") as library:
        number = library.fileno()
        variables = preload_variables(f"/proc/self/fd/{number}", config.memory)
        options = _options(config, inherited, number)
        return _alive(spawn_identified(argv, env=variables, **options), config)


def _options(config: MachineConfig, inherited: _Inherited, *also: int) -> _Options:
    return {
        "log_file": config.vmm_log,
        "stdin": inherited.console.stdin,
        "stdout": inherited.console.stdout,
        "pass_fds": [*inherited.numbers, *also],
    }


def _alive(identity: ProcessIdentity | None, config: MachineConfig) -> ProcessIdentity:
    if identity is None:
        raise VmmFailed("QEMU exited right after its start.", details=_log(config))
    return identity


async def _abandon(leader: ProcessIdentity) -> None:
    """End a child of ours that nobody knows yet, with its children: its group is its session."""
    programs.kill_group(leader.pid)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILL_DEADLINE_S):
            await wait_gone(leader)


async def _spawn_sandboxed(
    command: Sequence[str], *, config: MachineConfig, inherited: _Inherited
) -> tuple[ProcessIdentity, ProcessIdentity]:
    """Start the sandbox; return QEMU's identity and the sandbox monitor's."""
    reader, writer = os.pipe()
    try:
        try:
            options = _options(config, inherited, writer)
            monitor = _alive(spawn_identified(with_info(command, writer), **options), config)
        finally:
            os.close(writer)
        try:
            process = await _read_child(reader, config)
        except BaseException:
            await asyncio.shield(_abandon(monitor))
            raise
    finally:
        os.close(reader)
    return process, monitor


async def _read_child(reader: int, config: MachineConfig) -> ProcessIdentity:
    """Return the identity of the process that bubblewrap made for the program."""
    try:
        async with asyncio.timeout(INFO_DEADLINE_S):
            report = await _read_all(reader)
    except TimeoutError as error:
        raise VmmFailed("The sandbox did not start in time.", details=_log(config)) from error
    try:
        identity = identify(decode(report, type=_SandboxInfo).child_pid)
    except DecodeError as error:
        raise HostNotReady(
            "The sandbox could not be set up.", details=_log(config), hint="banger doctor"
        ) from error
    return _alive(identity, config)


async def _read_all(descriptor: int) -> bytes:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    with os.fdopen(os.dup(descriptor), "rb") as pipe:
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            return await reader.read()
        finally:
            transport.close()


def _log(config: MachineConfig) -> str:
    with contextlib.suppress(OSError):
        return config.vmm_log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
    return ""
