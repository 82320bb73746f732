"""Firecracker's start: its working directory, its console, its arguments, its jail, its limits.

Writes the VM's console log, VMM log and runtime directory (`names`), and makes the directory for
saved memory anew. Takes no locks: the engine holds the VM's lifecycle lock around every call. What
Firecracker has in common with other VMMs, and what becomes of it if the daemon dies, is in
`vmm.process`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import msgspec

from banger.host.attachments import Tap
from banger.host.files import ensure_private_dir, space_errors
from banger.host.limits import read_stack_bytes
from banger.host.refusals import require_socket_path
from banger.vmm.console import console_files
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.firecracker import names
from banger.vmm.firecracker.config import plan_argv, plan_configuration
from banger.vmm.firecracker.limits import plan_vmm_limits
from banger.vmm.firecracker.probe import FirecrackerFacts
from banger.vmm.firecracker.view import plan_view
from banger.vmm.jail import plan_jail
from banger.vmm.process import (
    Inherited,
    Started,
    begin_log,
    finish_start,
    spawn_jailed,
    spawn_open,
)
from banger.vmm.tap import find_tap_program, plan_tap

DRIVER_NAME = "firecracker"


async def start(
    config: MachineConfig, *, facts: FirecrackerFacts, network: Tap | None
) -> VmmHandle:
    """Start Firecracker for a machine and return its handle; it may still fail to come up."""
    begin_log(config.vmm_log)
    _make_directories(config, facts)
    argv = plan_argv(config, binary=facts.binary)
    started = await _spawn(argv, config, facts, network)
    limits = plan_vmm_limits(
        vcpu=config.vcpu, memory_mib=config.memory_mib, stack_bytes=read_stack_bytes()
    )
    handle = await finish_start(
        config, started, driver=DRIVER_NAME, binary=facts.binary, limits=limits
    )
    return msgspec.structs.replace(
        handle, console_log=str(config.console_log), saving=str(config.saving)
    )


async def _spawn(
    argv: list[str], config: MachineConfig, facts: FirecrackerFacts, network: Tap | None
) -> Started:
    with console_files(config.console_input, config.console_log) as console:
        inherited = Inherited(
            log=config.vmm_log,
            console=console,
            numbers=() if network is None else (network.side.fileno(),),
            directory=config.control_socket.parent,
        )
        before = [] if network is None else plan_tap(find_tap_program(), network)
        if facts.jail is None:
            return spawn_open([*before, *argv], inherited)
        view = plan_view(config)
        command = plan_jail(facts.jail, argv, view, keeps_network=network is not None)
        return await spawn_jailed(command, inherited, before=before)


def _make_directories(config: MachineConfig, facts: FirecrackerFacts) -> None:
    """Give Firecracker its files by their names; what an earlier one has left is removed.

    Firecracker makes its sockets itself, and fails if there are some.
    """
    folder = config.control_socket.parent
    for path in (config.control_socket, config.agent_socket):
        require_socket_path(os.fspath(path))
        path.unlink(missing_ok=True)
    ensure_private_dir(folder)
    shutil.rmtree(config.saving, ignore_errors=True)
    ensure_private_dir(config.saving)
    for name, target in _links(config):
        _link(folder / name, target)
    for name in (names.STATE, names.SAVED):
        (folder / name).unlink(missing_ok=True)
    if config.memory is None:
        machine = plan_configuration(config, version=facts.version)
        with space_errors(folder):
            (folder / names.CONFIGURATION).write_bytes(msgspec.json.encode(machine))


def _links(config: MachineConfig) -> list[tuple[str, Path]]:
    files = config.shared
    links = {names.ROOT: files.root, names.DATA: config.data, names.MODULES: files.modules}
    links[names.MEMORY] = config.memory
    return [(name, target) for name, target in links.items() if target is not None]


def _link(link: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(target)
