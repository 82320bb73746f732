"""Start, stop, kill, delete and prune VMs. Each holds the VM's lifecycle lock (L2).

If the process dies during a start, recovery undoes it and the VM is `stopped`;
during a stop, kill or delete, recovery completes it.
"""

from __future__ import annotations

import asyncio
from sqlite3 import Connection

from banger import store
from banger.api.requests import VmPrune, VmStart, VmStop
from banger.api.results import Deleted, VmView
from banger.engine.capacity import promised_memory
from banger.engine.engine import Engine
from banger.engine.lifetime import LIFETIME
from banger.engine.live import RESTART, RESTARTING, Unsaved
from banger.engine.lookup import get_vm, reload_vm, require_undamaged
from banger.engine.operations import Operation
from banger.engine.outcome import (
    correct_record,
    save_or_remember,
    save_remembered,
    write_outcome,
)
from banger.engine.pausing import resume_held
from banger.engine.preflight import require_programs
from banger.engine.queries import load_vmm_handle, view_vm
from banger.engine.runner import finish_shielded, run_forward, run_undoable
from banger.engine.sweeping import sweep_snapshots
from banger.engine.watch import start_watching
from banger.errors import BangerError, BootFailed, DeadlineExceeded, VmNotFound
from banger.host.process import is_alive
from banger.model.names import VmId
from banger.model.vm import (
    Accel,
    EventKind,
    VmRecord,
    VmSpec,
    VmState,
    is_hidden,
    next_spec,
    require_transition,
)
from banger.plan.lifecycle import (
    Plan,
    plan_delete,
    plan_kill,
    plan_restore,
    plan_start,
    plan_stop,
)
from banger.plan.steps import Step

BOOT_DEADLINE_S = {Accel.TCG: 300.0, Accel.KVM: 60.0}
"""From the VMM's start until the guest's init has settled."""
STOP_DEADLINE_S = 60.0
"""For the flush of the guest's data and its orderly shutdown; the VMM is ended after that."""
UNFLUSHED = "The guest did not confirm that its data was flushed; its last writes may be missing."
ONLY_A_RECORD = "All of it is deleted but its record, which could not be written; delete it again."
UNSAVED = "The file system of the database is full: that the VM has ended is not saved yet."


def default_boot_deadline_s(record: VmRecord) -> float:
    """Return how long a VM may take to be ready."""
    return BOOT_DEADLINE_S[record.spec.accel]


async def start_vm(engine: Engine, op: Operation, params: VmStart) -> VmView:
    """Boot a VM that is not running; one that runs already is left as it is."""
    vm_id = (await get_vm(engine, params.ref)).id
    async with engine.live_vm(vm_id).lifecycle.hold(op):
        await save_remembered(engine, vm_id)
        record = await reload_vm(engine, vm_id)
        if record.state is VmState.PAUSED:
            record = await resume_held(engine, op, record)
        elif record.state is not VmState.RUNNING:
            await require_bootable(engine, record)
            limit = default_boot_deadline_s(record)
            async with promised_memory(engine, op, record.spec.memory_mib, force=params.force):
                record = await start_held(engine, op, record, deadline_s=limit)
    return await view_vm(engine, record)


async def require_bootable(engine: Engine, record: VmRecord) -> None:
    """Check what a VM needs to boot, before anything is done.

    Raises:
        WrongState: its record is damaged.
        ToolMissing: the host lacks programs; they are named.
    """
    require_undamaged(record)
    await require_programs(engine, next_spec(record.spec).network)


async def start_held(
    engine: Engine,
    op: Operation,
    record: VmRecord,
    *,
    deadline_s: float,
    journal: str = "vm.start",
) -> VmRecord:
    """Boot a VM whose lifecycle lock is held, as what it was changed to while it ran.

    Raises:
        BootFailed: it did not become ready; it is kept, in state `error`.
    """
    require_undamaged(record)
    # It boots from its own disk: what it was started from before is not needed any more.
    spec = next_spec(record.spec)
    await _begin_start(engine, op, record, journal=journal, spec=spec)
    plan = plan_start(record.id, spec)
    return await _start(engine, op, record, plan=plan, deadline_s=deadline_s)


async def restore_held(
    engine: Engine, op: Operation, record: VmRecord, *, spec: VmSpec, deadline_s: float
) -> VmRecord:
    """Start a VM that does not run, and whose lifecycle lock is held, from the spec's origin.

    Raises:
        BootFailed: it did not become ready; it is kept, in state `error`.
    """
    assert spec.origin is not None
    await _begin_start(engine, op, record, journal="vm.start", spec=spec)
    plan = plan_restore(record.id, spec, origin=spec.origin)
    return await _start(engine, op, record, plan=plan, deadline_s=deadline_s)


async def _begin_start(
    engine: Engine, op: Operation, record: VmRecord, *, journal: str, spec: VmSpec
) -> None:
    try:
        await begin_held(engine, op, record, journal=journal, state=VmState.STARTING, spec=spec)
    except asyncio.CancelledError:
        # It may have been written nevertheless.
        await finish_shielded(
            save_or_remember(engine, op.id, record.id, record.state, error=record.error)
        )
        raise


async def _start(
    engine: Engine, op: Operation, record: VmRecord, *, plan: Plan, deadline_s: float
) -> VmRecord:
    def save(connection: Connection) -> None:
        write_outcome(connection, op.id, record.id, VmState.RUNNING)

    try:
        async with asyncio.timeout(deadline_s):
            await run_undoable(engine, op, plan, save=save)
    except TimeoutError as error:
        slow = DeadlineExceeded(f"It was not ready within {deadline_s:g} s.")
        raise await _boot_failed(engine, op, record, slow) from error
    except BangerError as error:
        raise await _boot_failed(engine, op, record, error) from error
    except BaseException:
        await finish_shielded(save_or_remember(engine, op.id, record.id, VmState.STOPPED))
        raise
    engine.events.publish(EventKind.STATE, record.id, record.spec.name, state=VmState.RUNNING)
    await watch_vm(engine, record.id)
    return await reload_vm(engine, record.id)


async def stop_vm(engine: Engine, op: Operation, params: VmStop) -> VmView:
    """Flush the guest's file systems and shut it down within a deadline, end the VMM (A1, A2).

    The view has a notice if the guest did not confirm the flush in time.
    """
    vm_id = (await get_vm(engine, params.ref)).id
    live = engine.live_vm(vm_id)
    holder = live.lifecycle.holder
    # What the daemon does by itself does not keep a user waiting.
    takes_over = holder is not None and holder.method == RESTARTING
    async with live.lifecycle.hold(op, preempt=takes_over):
        if not await stop_held(engine, op, vm_id, deadline_s=params.deadline_s):
            await _leave_ended(engine, vm_id)
            return await view_vm(engine, await reload_vm(engine, vm_id))
        said = [UNFLUSHED] * (not live.flush_confirmed) + [UNSAVED] * (live.unsaved is not None)
    await sweep_snapshots(engine)
    record = await reload_vm(engine, vm_id)
    return await view_vm(engine, record, notice=" ".join(said) or None)


async def stop_held(
    engine: Engine,
    op: Operation,
    vm_id: VmId,
    *,
    deadline_s: float = STOP_DEADLINE_S,
    why: str | None = None,
) -> bool:
    """Stop a VM whose lifecycle lock is held; False if it does not run.

    `why` is what its user is told if it was not the user who asked.
    """
    # A guest that stands still could not flush.
    record = await resume_held(engine, op, await reload_vm(engine, vm_id))
    if record.state is not VmState.RUNNING:
        return False
    journalled = await _begin_ending(engine, op, record, journal="vm.stop")
    steps = plan_stop(vm_id, deadline_s=deadline_s)
    await _end_vm(engine, op, vm_id, steps, journalled=journalled, why=why)
    return True


async def _leave_ended(engine: Engine, vm_id: VmId) -> None:
    """Have a VM that ended by itself, and whose lifecycle lock is held, not started again."""
    live = engine.live_vm(vm_id)
    if live.restart is not None:
        live.restart.task.cancel()
        live.restart = None
    # Only then: to stop what has ended must work on a full disk, too (A10).
    if RESTART in await engine.database.read(store.load_handles, vm_id):
        await engine.database.write(store.delete_handle, vm_id, RESTART)


async def finish_stop(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Do a stop whose journal is open and whose lifecycle lock is held."""
    steps = plan_stop(vm_id, deadline_s=STOP_DEADLINE_S)
    await _end_vm(engine, op, vm_id, steps, journalled=True)


async def kill_vm(engine: Engine, op: Operation, ref: str) -> VmView:
    """End the VMM at once, whatever holds the VM."""
    vm_id = (await get_vm(engine, ref)).id
    async with engine.live_vm(vm_id).lifecycle.hold(op, preempt=True):
        record = await reload_vm(engine, vm_id)
        if record.state in (VmState.RUNNING, VmState.PAUSED):
            await kill_held(engine, op, record)
        else:
            await _leave_ended(engine, vm_id)
        notice = UNSAVED if engine.live_vm(vm_id).unsaved else None
    await sweep_snapshots(engine)
    return await view_vm(engine, await reload_vm(engine, vm_id), notice=notice)


async def kill_held(engine: Engine, op: Operation, record: VmRecord) -> None:
    """End the VMM of a VM whose lifecycle lock is held."""
    journalled = await _begin_ending(engine, op, record, journal="vm.kill")
    await _end_vm(engine, op, record.id, plan_kill(record.id), journalled=journalled)


async def delete_vm(engine: Engine, op: Operation, ref: str) -> Deleted:
    """Delete a VM in whatever state it is; what it was doing is ended first."""
    vm_id = (await get_vm(engine, ref)).id
    async with engine.live_vm(vm_id).lifecycle.hold(op, preempt=True):
        # A create that just gave way to us has removed its VM itself.
        if await engine.database.read(store.find_vm, vm_id):
            # To the end: half of a VM can be neither used nor seen to be half.
            await finish_shielded(delete_now(engine, op, vm_id))
    return Deleted(ids=[vm_id])


async def watch_vm(engine: Engine, vm_id: VmId) -> None:
    """Watch the VMM of a VM that runs."""
    handle = await load_vmm_handle(engine, vm_id)
    if handle is not None:
        start_watching(engine, await engine.host.driver(), handle)


async def delete_now(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Delete a VM whose lifecycle lock is held. Its row goes last, when all else is gone."""
    begin, now = store.begin_operation, engine.now()
    journalled = True
    try:
        await engine.database.write(begin, op.id, "vm.delete", vm_id, now=now)
    except store.UNWRITABLE:
        # Deleting is how a user makes space (hazard A10). Without a journal a crash in the
        # middle leaves a row without files, which can be deleted again.
        journalled = False
    try:
        await run_forward(engine, op, plan_delete(vm_id), journalled=journalled)
    except BangerError as error:
        await _save_failed_end(engine, op, vm_id, error)
        raise
    try:
        await forget(engine, op, vm_id)
    except store.UNWRITABLE:
        engine.live_vm(vm_id).unsaved = Unsaved(op.id, VmState.ERROR, ONLY_A_RECORD)
        raise
    gone = engine.live.pop(vm_id, None)
    if gone is not None and gone.restart is not None:
        gone.restart.task.cancel()
    await sweep_snapshots(engine)


async def prune_vms(engine: Engine, op: Operation, params: VmPrune) -> Deleted:
    """Delete every VM that has no VMM, even if one of them cannot be (B3); or only name them."""
    idle = {VmState.CREATED, VmState.STOPPED, VmState.ERROR}
    chosen = [
        record.id
        for record in await engine.database.read(store.load_vms)
        if correct_record(engine, record).state in idle
        and not is_hidden(record.spec)
        and engine.live_vm(record.id).lifecycle.holder is None
        and (params.ids is None or record.id in params.ids)
    ]
    failures: list[BangerError] = []
    for vm_id in chosen if not params.dry_run else ():
        try:
            await delete_vm(engine, op, vm_id)
        except VmNotFound:
            continue  # somebody else has deleted it meanwhile
        except BangerError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return Deleted(ids=list(chosen))


async def forget(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Remove a VM's row, and tell."""
    name = await engine.database.write(forget_vm, op, vm_id)
    if name is not None:
        engine.events.publish(EventKind.DELETED, vm_id, name)


def forget_vm(connection: Connection, op: Operation, vm_id: VmId) -> str | None:
    """Remove a VM's row and close the journal of the operation, in one transaction.

    Return the name that it had.
    """
    name = store.find_name(connection, vm_id)
    store.delete_vm(connection, vm_id)
    store.end_operation(connection, op.id)
    return name


async def begin_held(
    engine: Engine,
    op: Operation,
    record: VmRecord,
    *,
    journal: str,
    state: VmState,
    spec: VmSpec | None = None,
) -> None:
    """Open the journal under the name that recovery goes by, save the passing state and the spec.

    The lifecycle lock is held. Of a restart the second half's journal replaces the first's. The
    time to live is counted from this start, whatever there was before.
    """
    require_transition(record.state, state)

    def begin(connection: Connection) -> None:
        store.begin_operation(connection, op.id, journal, record.id, now=engine.now())
        store.update_state(connection, record.id, state)
        if state is VmState.STARTING:
            store.delete_handle(connection, record.id, LIFETIME)
        if spec is not None and spec != record.spec:
            store.update_spec(connection, record.id, spec)

    await engine.database.write(begin)
    # What had to be remembered is superseded.
    engine.live_vm(record.id).unsaved = None
    engine.events.publish(EventKind.STATE, record.id, record.spec.name, state=state)


async def _begin_ending(engine: Engine, op: Operation, record: VmRecord, *, journal: str) -> bool:
    """As `begin_held`; return whether it was written: what ends a VM goes on without (A10).

    What is begun is finished, whoever is cancelled. If the process dies without a journal, the
    record says `running` of a VMM that is gone: recovery knows that.
    """
    try:
        await finish_shielded(
            begin_held(engine, op, record, journal=journal, state=VmState.STOPPING)
        )
    except store.UNWRITABLE:
        return False
    return True


async def _end_vm(
    engine: Engine,
    op: Operation,
    vm_id: VmId,
    steps: tuple[Step, ...],
    *,
    journalled: bool,
    why: str | None = None,
) -> None:
    async def finish() -> None:
        try:
            await run_forward(engine, op, steps, journalled=journalled)
        except BangerError as error:
            await _save_failed_end(engine, op, vm_id, error)
            raise
        await save_or_remember(engine, op.id, vm_id, VmState.STOPPED, error=why)

    await finish_shielded(finish())


async def _save_failed_end(engine: Engine, op: Operation, vm_id: VmId, error: BangerError) -> None:
    """Save what is true of a VM that could not be ended: it runs still, or is in state `error`."""
    lives = await _has_live_vmm(engine, vm_id)
    state, why = (VmState.RUNNING, None) if lives else (VmState.ERROR, error.message)
    await save_or_remember(engine, op.id, vm_id, state, error=why)


async def _has_live_vmm(engine: Engine, vm_id: VmId) -> bool:
    """Tell whether a VM's VMM runs; if that cannot be found out it may."""
    try:
        handle = await load_vmm_handle(engine, vm_id)
        return handle is not None and is_alive(handle.process)
    except (BangerError, OSError):
        return True


async def _boot_failed(
    engine: Engine, op: Operation, record: VmRecord, cause: BangerError
) -> BootFailed:
    """Save why a VM did not become ready, and return the error that says so (hazard H5)."""
    await save_or_remember(engine, op.id, record.id, VmState.ERROR, error=cause.message)
    log = engine.layout.vm_console_log(record.id)
    return BootFailed(
        f"{record.spec.name} did not become ready: {cause.message} Its console log is {log}.",
        hint=f"banger vm logs {record.spec.name}",
        details=cause.details,
    )
