"""What each step does: one function applies it, one undoes it, both idempotent.

Measure, act if needed. A directory that is removed is the exact path that the
layout has for the VM's id, never a tree named by a request (hazard A6).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import assert_never

import msgspec

from banger import images, kernels, network, store, templates, vmm
from banger.engine.engine import Engine
from banger.engine.lifecycle.ending import (
    apply_ending,
    close_network_socket,
    end_network,
    end_vmm,
    remove_tree,
)
from banger.engine.lifecycle.guestboot import (
    boot_guest,
    identify_guest,
    rehearse_guest,
    settle_guest,
    start_entrypoint,
)
from banger.engine.lifecycle.limiting import limit_vm
from banger.engine.lookup import reload_vm
from banger.engine.operations import Operation
from banger.engine.snapshots.saving import apply_saving, undo_saving
from banger.engine.tasks import finish_shielded
from banger.host import proc
from banger.host.files import clone_file, ensure_private_dir, name_os_error
from banger.layout import Layout
from banger.model.names import VmId
from banger.model.vm import NetworkKind, VmRecord
from banger.plan.steps import (
    BeginSaving,
    BootGuest,
    CloneDataDisk,
    EndNetwork,
    EndVmm,
    FlushGuest,
    GrowDataDisk,
    IdentifyGuest,
    LimitVm,
    MakeDataDisk,
    MakeHostKeys,
    MakeRuntimeDir,
    MakeVmDir,
    PauseVmm,
    PublishSnapshot,
    RehearseGuest,
    RemoveRuntimeDir,
    RemoveVmDir,
    ReplaceDataDisk,
    RestoreVmm,
    ResumeVmm,
    SaveMachine,
    SettleGuest,
    ShutDownGuest,
    SpawnVmm,
    StartEntrypoint,
    StartNetwork,
    Step,
)

TOOL_DEADLINE_S = 60.0
VMM_READY_DEADLINE_S = 30.0


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
    """Turn what the host says into errors of ours: a full disk, a refused path, a limit."""
    try:
        yield
    except OSError as error:
        raise name_os_error(error, where=layout.state) from error


async def _apply(engine: Engine, op: Operation, step: Step) -> None:  # noqa: PLR0912 - a table
    match step:
        case MakeVmDir():
            ensure_private_dir(engine.layout.vm_dir(step.vm_id))
        case MakeDataDisk():
            await _make_data_disk(engine.layout.vm_data_disk(step.vm_id), step.size_mib)
        case GrowDataDisk():
            _grow_data_disk(engine.layout.vm_data_disk(step.vm_id), step.size_mib)
        case MakeHostKeys():
            await _make_host_keys(engine.layout.vm_host_key(step.vm_id))
        case CloneDataDisk():
            op.progress("clone disk")
            await _clone_data_disk(engine.layout, step)
        case ReplaceDataDisk():
            op.progress("restore disk")
            await _replace_data_disk(engine.layout, step)
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
        case LimitVm():
            await limit_vm(engine, step.vm_id)
        case RehearseGuest():
            await rehearse_guest(engine, step.vm_id)
        case BootGuest():
            op.progress("boot")
            await boot_guest(engine, await reload_vm(engine, step.vm_id))
        case SettleGuest():
            op.progress("settle")
            await settle_guest(engine, await reload_vm(engine, step.vm_id))
        case StartEntrypoint():
            op.progress("entry point")
            await start_entrypoint(engine, await reload_vm(engine, step.vm_id))
        case BeginSaving() | PauseVmm() | SaveMachine() | ResumeVmm() | PublishSnapshot():
            await apply_saving(engine, op, step)
        case (
            FlushGuest()
            | ShutDownGuest()
            | EndVmm()
            | EndNetwork()
            | RemoveRuntimeDir()
            | RemoveVmDir()
        ):
            await apply_ending(engine, op, step)
        case _:
            assert_never(step)


async def _undo(engine: Engine, step: Step) -> None:
    match step:
        case MakeVmDir():
            await remove_tree(engine.layout.vm_dir(step.vm_id))
        case MakeRuntimeDir():
            await remove_tree(engine.layout.vm_runtime(step.vm_id))
        case StartNetwork():
            await end_network(engine, step.vm_id)
        case SpawnVmm() | RestoreVmm():
            await end_vmm(engine, step.vm_id)
        case BeginSaving() | PauseVmm() | PublishSnapshot():
            await undo_saving(engine, step)
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


def _grow_data_disk(path: Path, size_mib: int) -> None:
    """Make a disk larger by a hole; one that is as large already is left as it is."""
    size = size_mib * 2**20
    if path.stat().st_size < size:
        os.truncate(path, size)


async def _clone_data_disk(layout: Layout, step: CloneDataDisk) -> None:
    target = layout.vm_data_disk(step.vm_id)
    if not target.exists():
        source = layout.origin_dir(step.origin) / templates.DATA
        await asyncio.to_thread(clone_file, source, target)


async def _replace_data_disk(layout: Layout, step: ReplaceDataDisk) -> None:
    source = layout.origin_dir(step.origin) / templates.DATA
    await asyncio.to_thread(clone_file, source, layout.vm_data_disk(step.vm_id))


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
    async with _ended_unless_saved(lambda: network.end_network(started.handle)):
        payload = msgspec.json.encode(started.handle)
        await engine.database.write(store.save_handle, vm_id, "network", payload)


async def _spawn_vmm(engine: Engine, vm_id: VmId) -> None:
    handle = await _spawn(engine, await reload_vm(engine, vm_id), None)
    driver = await engine.host.driver()
    await driver.wait_ready(handle, deadline_s=VMM_READY_DEADLINE_S)


async def _restore_vmm(engine: Engine, step: RestoreVmm) -> None:
    """Start a VMM on a saved machine's memory and load its state: the guest goes on from there."""
    folder = engine.layout.origin_dir(step.origin)
    record = await reload_vm(engine, step.vm_id)
    handle = await _spawn(engine, record, folder / templates.MEMORY)
    driver = await engine.host.driver()
    await driver.restore(handle, folder / templates.STATE, deadline_s=VMM_READY_DEADLINE_S)


async def _spawn(engine: Engine, record: VmRecord, memory: Path | None) -> vmm.VmmHandle:
    live = engine.live_vm(record.id)
    driver = await engine.host.driver()
    config = await asyncio.to_thread(_plan_machine, engine, record, memory)
    try:
        handle = await driver.spawn(config, network=live.network_socket)
    finally:
        close_network_socket(engine, record.id)
    async with _ended_unless_saved(lambda: driver.kill(handle)):
        payload = msgspec.json.encode(handle)
        await engine.database.write(store.save_handle, record.id, "vmm", payload)
    return handle


@contextlib.asynccontextmanager
async def _ended_unless_saved(
    end: Callable[[], Coroutine[object, object, None]],
) -> AsyncIterator[None]:
    """End what was started if the block, which saves its handle, fails: nobody could find it."""
    try:
        yield
    except BaseException:
        await finish_shielded(end())
        raise


def _plan_machine(engine: Engine, record: VmRecord, memory: Path | None) -> vmm.MachineConfig:
    image = images.get_image(engine.layout, record.spec.image)
    kernel = kernels.get_kernel(engine.layout, record.spec.kernel)
    folder = kernels.kernel_dir(engine.layout, kernel)
    has_network = record.spec.network is not NetworkKind.NONE
    return vmm.plan_machine(
        layout=engine.layout,
        vm_id=record.id,
        spec=record.spec,
        shared=vmm.SharedFiles(
            bzimage=folder / kernel.bzimage,
            initramfs=folder / kernel.initramfs,
            root=images.require_root(engine.layout, image),
            modules=folder / kernel.tree if kernel.tree else None,
        ),
        mac=network.format_mac(record.id) if has_network else None,
        tsc_khz=engine.host.cpu.tsc_khz,
        memory=memory,
    )
