"""Save a machine: what its memory began as, then what it is, into a directory of `staging/`.

What the steps of `plan_snapshot` do, and what the making of a template does the same way. The
VM's lifecycle lock is held. If the process dies the directory goes with all of `staging/`,
and recovery lets a VM that was paused for it go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from banger import guest, store, templates
from banger.engine.engine import Engine
from banger.engine.lookup import reach_agent, reload_vm
from banger.engine.operations import Operation
from banger.engine.views.queries import load_vmm_handle
from banger.errors import BangerError, SnapshotUnusable, VmmFailed, WrongState
from banger.host.files import clone_file, ensure_private_dir, space_errors
from banger.model.names import VmId
from banger.model.vm import VmRecord, shape_of
from banger.plan.steps import BeginSaving, PauseVmm, PublishSnapshot, ResumeVmm, SaveMachine
from banger.templates import SavedFiles, Snapshot
from banger.vmm import VmmHandle

PAUSE_DEADLINE_S = 30.0
SAVE_DEADLINE_S = 60.0
CLOCK_DEADLINE_S = 5.0
ALIVE_DEADLINE_S = 3.0


SavingStep = BeginSaving | PauseVmm | SaveMachine | ResumeVmm | PublishSnapshot


async def apply_saving(engine: Engine, op: Operation, step: SavingStep) -> None:
    """Make what the step says true."""
    match step:
        case BeginSaving():
            op.progress("copy memory")
            record = await reload_vm(engine, step.vm_id)
            await begin_saving(engine, record, engine.layout.saving_dir(step.snapshot))
        case PauseVmm():
            op.progress("pause")
            await pause_vmm(engine, step.vm_id)
        case SaveMachine():
            op.progress("save")
            await save_machine(engine, step.vm_id, engine.layout.saving_dir(step.snapshot))
        case ResumeVmm():
            op.progress("resume")
            await resume_vmm(engine, step.vm_id)
        case PublishSnapshot():
            op.progress("keep")
            await _publish_snapshot(engine, step)


async def undo_saving(engine: Engine, step: BeginSaving | PauseVmm | PublishSnapshot) -> None:
    """Make what the step says untrue."""
    match step:
        case BeginSaving():
            folder = engine.layout.saving_dir(step.snapshot)
            await asyncio.to_thread(templates.remove_saved, engine.layout, folder)
        case PauseVmm():
            await undo_pause(engine, step.vm_id)
        case PublishSnapshot():
            folder = engine.layout.snapshot_dir(step.snapshot)
            await asyncio.to_thread(templates.remove_saved, engine.layout, folder)


async def begin_saving(engine: Engine, record: VmRecord, folder: Path) -> None:
    """Make the directory, with a memory file that has what the VM's memory began as."""
    ensure_private_dir(folder)
    memory = folder / templates.MEMORY
    if record.spec.origin is None:
        await asyncio.to_thread(_make_empty, memory, record.spec.memory_mib * 2**20)
    else:
        base = engine.layout.origin_dir(record.spec.origin) / templates.MEMORY
        await asyncio.to_thread(clone_file, base, memory)


async def save_machine(engine: Engine, vm_id: VmId, folder: Path) -> None:
    """Write a paused VM's memory, devices' state and data disk.

    Raises:
        SnapshotUnusable: the VMM was upgraded while it ran.
        VmmFailed: it has ended, or cannot be saved.
        NoSpace: the directory's file system is full.
    """
    driver = await engine.host.driver()
    state, memory = folder / templates.STATE, folder / templates.MEMORY
    handle = await require_vmm(engine, vm_id)
    if handle.fingerprint != await driver.fingerprint():
        # An upgrade while it ran: its state would be taken for one of the new VMM's (D5).
        raise SnapshotUnusable(
            "The VM runs in another QEMU than the one that is installed now.",
            hint="stop it and start it (banger vm stop, banger vm start)",
        )
    with contextlib.suppress(FileNotFoundError):
        state.unlink()  # of an earlier try
    await driver.save(handle, state=state, memory=memory, deadline_s=SAVE_DEADLINE_S)
    disk = engine.layout.vm_data_disk(vm_id)
    await asyncio.to_thread(clone_file, disk, folder / templates.DATA)


async def pause_vmm(engine: Engine, vm_id: VmId) -> None:
    """Stop the guest's processors."""
    driver = await engine.host.driver()
    await driver.pause(await require_vmm(engine, vm_id), deadline_s=PAUSE_DEADLINE_S)


async def resume_vmm(engine: Engine, vm_id: VmId) -> None:
    """Let the guest go on, and set its clock (hazard D1)."""
    driver = await engine.host.driver()
    await driver.resume(await require_vmm(engine, vm_id), deadline_s=PAUSE_DEADLINE_S)
    with contextlib.suppress(BangerError):
        # One that was adopted while it stood still has no connection yet.
        await reach_agent(engine, vm_id, deadline_s=CLOCK_DEADLINE_S)
    await set_clock(engine, vm_id)


async def undo_pause(engine: Engine, vm_id: VmId) -> None:
    """Let the guest go on, if it is there. Without a connection recovery makes one, and then sets
    the clock: here nobody waits for a guest."""
    handle = await load_vmm_handle(engine, vm_id)
    driver = await engine.host.driver()
    if handle is not None and await driver.adopt(handle, deadline_s=ALIVE_DEADLINE_S):
        await driver.resume(handle, deadline_s=PAUSE_DEADLINE_S)
        await set_clock(engine, vm_id)


async def set_clock(engine: Engine, vm_id: VmId) -> None:
    """Give a guest the host's time. One whose agent does not answer keeps its own."""
    connection = engine.live_vm(vm_id).connection
    if connection is not None and not connection.closed:
        identity = guest.Identity(clock_ns=int(engine.now() * 1e9))
        with contextlib.suppress(BangerError):
            await guest.identify(connection, identity, deadline_s=CLOCK_DEADLINE_S)


async def _publish_snapshot(engine: Engine, step: PublishSnapshot) -> None:
    """Make a snapshot of a complete directory."""
    record = await reload_vm(engine, step.vm_id)
    snapshot = Snapshot(
        id=step.snapshot,
        vm_id=step.vm_id,
        name=step.name,
        machine=step.machine,
        created_at=engine.now(),
        saved=SavedFiles(state_sha256="", files={}),
        shape=shape_of(record.spec),
    )
    staged = engine.layout.saving_dir(step.snapshot)
    if staged.exists():
        await asyncio.to_thread(templates.publish_snapshot, engine.layout, staged, snapshot)


async def require_vmm(engine: Engine, vm_id: VmId) -> VmmHandle:
    """Return the handle of a VM's VMM.

    Raises:
        WrongState: the VM was deleted.
        VmmFailed: it has none.
    """
    handle = await load_vmm_handle(engine, vm_id)
    if handle is not None:
        return handle
    if await engine.database.read(store.find_vm, vm_id) is None:
        raise WrongState(f"The VM {vm_id} was deleted.", hint="banger vm list")
    raise VmmFailed(f"The VM {vm_id} has ended.", hint="banger vm list")


def _make_empty(path: Path, size: int) -> None:
    """Make a file that is one hole."""
    with space_errors(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)
