"""QEMU's start: its sockets, its console, its arguments, its jail, its limits.

Writes the console log and the VMM log of the VM, its two sockets and the console's FIFO. Takes no
locks: the engine holds the VM's lifecycle lock around every call. What QEMU has in common with
other VMMs, and what becomes of it if the daemon dies, is in `vmm.process`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from banger.host.attachments import Socket
from banger.host.limits import read_stack_bytes
from banger.vmm.console import console_files
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.jail import plan_jail
from banger.vmm.process import (
    Inherited,
    Started,
    begin_log,
    finish_start,
    spawn_jailed,
    spawn_open,
)
from banger.vmm.qemu.argv import Descriptors, plan_argv
from banger.vmm.qemu.limits import plan_vmm_limits
from banger.vmm.qemu.memory_preload import find_memory_preload, preload_variables
from banger.vmm.qemu.probe import QemuFacts
from banger.vmm.qemu.pvh import choose_kernel
from banger.vmm.qemu.view import plan_view
from banger.vmm.sockets import listening_socket

DRIVER_NAME = "qemu"


async def start(config: MachineConfig, *, facts: QemuFacts, network: Socket | None) -> VmmHandle:
    """Start QEMU for a machine and return its handle; it may still fail to come up."""
    begin_log(config.vmm_log)
    if config.memory is None:
        config = choose_kernel(config)
    with (
        listening_socket(config.control_socket) as control,
        listening_socket(config.agent_socket) as agent,
        console_files(config.console_input, config.console_log) as console,
    ):
        descriptors = Descriptors(
            control=control.fileno(),
            agent=agent.fileno(),
            network=None if network is None else network.side.fileno(),
        )
        argv = plan_argv(
            config, binary=facts.binary, version=facts.version, descriptors=descriptors
        )
        numbers = [fd for fd in vars(descriptors).values() if fd is not None]
        inherited = Inherited(log=config.vmm_log, console=console, numbers=numbers)
        preload = None if config.memory is None else find_memory_preload()
        if facts.jail is None:
            started = _spawn_open(argv, preload, config=config, inherited=inherited)
        else:
            command = plan_jail(facts.jail, argv, plan_view(config, preload=preload))
            started = await spawn_jailed(command, inherited)
    limits = plan_vmm_limits(
        vcpu=config.vcpu,
        memory_mib=config.memory_mib,
        accel=config.accel,
        stack_bytes=read_stack_bytes(),
    )
    return await finish_start(
        config, started, driver=DRIVER_NAME, binary=facts.binary, limits=limits
    )


def _spawn_open(
    argv: Sequence[str], preload: Path | None, *, config: MachineConfig, inherited: Inherited
) -> Started:
    """Start QEMU without a jail; the library is found by its descriptor, wherever it is."""
    if preload is None or config.memory is None:
        return spawn_open(argv, inherited)
    with open(preload, "rb") as library:
        number = library.fileno()
        variables = preload_variables(f"/proc/self/fd/{number}", config.memory)
        return spawn_open(argv, inherited, also=[number], variables=variables)
