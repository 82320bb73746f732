"""What each step does: one function applies it, one undoes it, both idempotent.

Measure, act if needed. A directory that is removed is the exact path that the
layout has for the VM's id, never a tree named by a request (hazard A6).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

import msgspec

from banger import guest, images, kernels, network, store, templates, vmm
from banger.engine.engine import Engine
from banger.engine.guestboot import boot_guest, identify_guest, settle_guest
from banger.engine.live import stop_watching
from banger.engine.lookup import reload_vm
from banger.engine.operations import Operation
from banger.engine.queries import load_vmm_handle, parse_handle
from banger.errors import BangerError, OperationFailed
from banger.host import proc
from banger.host.files import clone_file, ensure_private_dir, space_errors
from banger.layout import Layout
from banger.model.names import VmId
from banger.model.vm import NetworkKind, VmRecord
from banger.plan.steps import (
    BootGuest,
    CloneDataDisk,
    EndNetwork,
    EndVmm,
    FlushGuest,
    IdentifyGuest,
    MakeDataDisk,
    MakeHostKeys,
    MakeRuntimeDir,
    MakeVmDir,
    RemoveRuntimeDir,
    RemoveVmDir,
    RestoreVmm,
    SettleGuest,
    ShutDownGuest,
    SpawnVmm,
    StartNetwork,
    Step,
)

TOOL_DEADLINE_S = 60.0
VMM_READY_DEADLINE_S = 30.0
FLUSH_DEADLINE_S = 60.0
"""For sync(2) in the guest: 500 MiB of dirty pages at an emulated disk's 27 MB/s take 20 s."""
PING_DEADLINE_S = 15.0
"""For an agent to say that it lives, before a flush: generous, since the data is at stake."""
QUIT_DEADLINE_S = 5.0
POWEROFF_DEADLINE_S = 10.0
"""For the agent to take the request; the shutting down has the step's own deadline."""


async def apply(engine: Engine, op: Operation, step: Step) -> None:
    """Make what the step says true."""
    with _file_errors(engine.layout):
        await _apply(engine, op, step)


async def undo(engine: Engine, step: Step) -> None:
    """Make what the step says untrue. Steps that only end things have nothing to undo."""
    with _file_errors(engine.layout):
        await _undo(engine, step)


@contextlib.contextmanager
def _file_errors(layout: Layout) -> Iterator[None]:
    """Turn what the file system says into errors of ours: a full disk, or a refused path."""
    try:
        with space_errors(layout.state):
            yield
    except OSError as error:
        where = error.filename or layout.state
        raise OperationFailed(
            f"{where}: {error.strerror or error}.", hint="banger doctor"
        ) from error


async def _apply(engine: Engine, op: Operation, step: Step) -> None:  # noqa: PLR0912 - a table
    match step:
        case MakeVmDir():
            ensure_private_dir(engine.layout.vm_dir(step.vm_id))
        case MakeDataDisk():
            await _make_data_disk(engine.layout.vm_data_disk(step.vm_id), step.size_mib)
        case MakeHostKeys():
            await _make_host_keys(engine.layout.vm_host_key(step.vm_id))
        case CloneDataDisk():
            op.progress("clone disk")
            await _clone_data_disk(engine.layout, step)
        case MakeRuntimeDir():
            ensure_private_dir(engine.layout.vm_runtime(step.vm_id))
        case StartNetwork():
            op.progress("network")
            await _start_network(engine, step.vm_id)
        case SpawnVmm():
            op.progress("vmm")
            await _spawn_vmm(engine, step.vm_id)
        case RestoreVmm():
            op.progress("restore")
            await _restore_vmm(engine, step)
        case IdentifyGuest():
            op.progress("identify")
            await identify_guest(engine, await reload_vm(engine, step.vm_id))
        case BootGuest():
            op.progress("boot")
            await boot_guest(engine, await reload_vm(engine, step.vm_id))
        case SettleGuest():
            op.progress("settle")
            await settle_guest(engine, await reload_vm(engine, step.vm_id))
        case FlushGuest():
            op.progress("flush")
            await _flush_guest(engine, step.vm_id)
        case ShutDownGuest():
            op.progress("shut down")
            await _shut_down_guest(engine, step.vm_id, step.deadline_s)
        case EndVmm():
            await _end_vmm(engine, step.vm_id)
        case EndNetwork():
            await _end_network(engine, step.vm_id)
        case RemoveRuntimeDir():
            await _remove_tree(engine.layout.vm_runtime(step.vm_id))
        case RemoveVmDir():
            await _remove_tree(engine.layout.vm_dir(step.vm_id))
        case _:
            assert_never(step)


async def _undo(engine: Engine, step: Step) -> None:
    match step:
        case MakeVmDir():
            await _remove_tree(engine.layout.vm_dir(step.vm_id))
        case MakeRuntimeDir():
            await _remove_tree(engine.layout.vm_runtime(step.vm_id))
        case StartNetwork():
            await _end_network(engine, step.vm_id)
        case SpawnVmm() | RestoreVmm():
            await _end_vmm(engine, step.vm_id)
        case _:
            # The data disk and the keys go with the VM's directory, the guest with its VMM.
            pass


async def _make_data_disk(path: Path, size_mib: int) -> None:
    """Make a sparse ext4; a file that is there was finished, since it is renamed into place."""
    if path.exists():
        return
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    await proc.run(
        [
            "mke2fs",
            *("-q", "-F", "-t", "ext4", "-L", "banger-data", "-m", "0"),
            # Inode tables are zero in a sparse file already; no journal checksum pass.
            *("-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"),
            str(partial),
            f"{size_mib}M",
        ],
        deadline_s=TOOL_DEADLINE_S,
    )
    partial.rename(path)


async def _clone_data_disk(layout: Layout, step: CloneDataDisk) -> None:
    target = layout.vm_data_disk(step.vm_id)
    if not target.exists():
        source = layout.template_dir(step.template) / templates.DATA
        await asyncio.to_thread(clone_file, source, target)


async def _make_host_keys(path: Path) -> None:
    if path.with_suffix(".pub").exists():
        return
    path.unlink(missing_ok=True)
    await proc.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)],
        deadline_s=TOOL_DEADLINE_S,
    )


async def _start_network(engine: Engine, vm_id: VmId) -> None:
    live = engine.live_vm(vm_id)
    started = await network.start_user_network(
        network.user_interface(vm_id), log_file=engine.layout.vm_network_log(vm_id)
    )
    live.network_socket = started.guest
    payload = msgspec.json.encode(started.handle)
    await engine.database.write(store.save_handle, vm_id, "network", payload)


async def _spawn_vmm(engine: Engine, vm_id: VmId) -> None:
    record = await reload_vm(engine, vm_id)
    memory = None
    if record.spec.builds is not None:
        path = engine.layout.template_staging(vm_id) / templates.MEMORY
        memory = vmm.MemoryFile(path=path, is_private=False)
    handle = await _spawn(engine, record, memory)
    driver = await engine.host.driver()
    await driver.wait_ready(handle, deadline_s=VMM_READY_DEADLINE_S)


async def _restore_vmm(engine: Engine, step: RestoreVmm) -> None:
    """Start a VMM on a template's memory and load its state: the guest runs on from there."""
    folder = engine.layout.template_dir(step.template)
    memory = vmm.MemoryFile(path=folder / templates.MEMORY, is_private=True)
    handle = await _spawn(engine, await reload_vm(engine, step.vm_id), memory)
    driver = await engine.host.driver()
    await driver.restore(handle, folder / templates.STATE, deadline_s=VMM_READY_DEADLINE_S)


async def _spawn(engine: Engine, record: VmRecord, memory: vmm.MemoryFile | None) -> vmm.VmmHandle:
    live = engine.live_vm(record.id)
    driver = await engine.host.driver()
    config = await asyncio.to_thread(_plan_machine, engine, record, memory)
    try:
        handle = await driver.spawn(config, network=live.network_socket)
    finally:
        _close_network_socket(engine, record.id)
    await engine.database.write(store.save_handle, record.id, "vmm", msgspec.json.encode(handle))
    return handle


def _plan_machine(
    engine: Engine, record: VmRecord, memory: vmm.MemoryFile | None
) -> vmm.MachineConfig:
    image = images.get_image(engine.layout, record.spec.image)
    kernel = kernels.get_kernel(engine.layout, record.spec.kernel)
    folder = kernels.kernel_dir(engine.layout, kernel)
    has_network = record.spec.network is not NetworkKind.NONE
    return vmm.plan_machine(
        layout=engine.layout,
        vm_id=record.id,
        spec=record.spec,
        bzimage=folder / kernel.bzimage,
        initramfs=folder / kernel.initramfs,
        root=images.image_root(engine.layout, image),
        mac=network.format_mac(record.id) if has_network else None,
        tsc_khz=engine.host.cpu.tsc_khz,
        memory=memory,
    )


async def _flush_guest(engine: Engine, vm_id: VmId) -> None:
    """Ask the guest to flush; whether it confirmed is part of the stop's result (A1)."""
    live = engine.live_vm(vm_id)
    live.flush_confirmed = False
    with contextlib.suppress(BangerError):
        connection = await guest_of(engine, vm_id)
        # An agent that hangs is told apart from a flush that takes long.
        await guest.ping(connection, deadline_s=min(PING_DEADLINE_S, FLUSH_DEADLINE_S))
        await guest.sync(connection, deadline_s=FLUSH_DEADLINE_S)
        live.flush_confirmed = True


async def _shut_down_guest(engine: Engine, vm_id: VmId, deadline_s: float) -> None:
    """Ask the guest to shut down and wait; one that does not is flushed again, then ended (A2)."""
    live = engine.live_vm(vm_id)
    handle = await load_vmm_handle(engine, vm_id)
    if handle is None or not live.flush_confirmed:
        return
    driver = await engine.host.driver()
    try:
        async with asyncio.timeout(deadline_s):
            with contextlib.suppress(BangerError):
                connection = await guest_of(engine, vm_id)
                await guest.poweroff(connection, deadline_s=POWEROFF_DEADLINE_S)
            await driver.wait_gone(handle)
    except TimeoutError:
        await _flush_guest(engine, vm_id)


async def guest_of(engine: Engine, vm_id: VmId) -> guest.GuestConnection:
    """Return the connection of a VM that is being ended: the present one, or a new one."""
    live = engine.live_vm(vm_id)
    if live.connection is None or live.connection.closed:
        socket = engine.layout.vm_agent_socket(vm_id)
        live.connection = await guest.connect(socket, deadline_s=POWEROFF_DEADLINE_S)
    return live.connection


async def _end_vmm(engine: Engine, vm_id: VmId) -> None:
    handle = await load_vmm_handle(engine, vm_id)
    if handle is not None:
        driver = await engine.host.driver()
        if not await driver.quit(handle, deadline_s=QUIT_DEADLINE_S):
            await driver.kill(handle)
    await stop_watching(engine.live_vm(vm_id))
    await engine.database.write(store.delete_handle, vm_id, "vmm")


async def _end_network(engine: Engine, vm_id: VmId) -> None:
    _close_network_socket(engine, vm_id)
    handles = await engine.database.read(store.load_handles, vm_id)
    if payload := handles.get("network"):
        handle = parse_handle(payload, network.NetworkHandle)
        if handle is not None:
            await network.end_network(handle)
        await engine.database.write(store.delete_handle, vm_id, "network")


def _close_network_socket(engine: Engine, vm_id: VmId) -> None:
    live = engine.live_vm(vm_id)
    if live.network_socket is not None:
        live.network_socket.close()
        live.network_socket = None


async def _remove_tree(path: Path) -> None:
    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)

    await asyncio.to_thread(remove)
