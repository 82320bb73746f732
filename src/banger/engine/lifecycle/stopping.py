"""Stop and kill VMs. Each holds the VM's lifecycle lock (L2).

If the process dies during a stop or a kill, recovery completes it.
"""

from __future__ import annotations

from banger import store
from banger.api.requests import VmStop
from banger.api.results import VmView
from banger.engine.engine import Engine
from banger.engine.lifecycle.pausing import resume_held
from banger.engine.lifecycle.restartpolicy import drop_wish
from banger.engine.lifecycle.transitions import begin_held, save_failed_end
from banger.engine.live import RESTARTING
from banger.engine.lookup import get_vm, reload_vm
from banger.engine.operations import Operation
from banger.engine.outcome import save_or_remember
from banger.engine.runner import run_forward
from banger.engine.snapshots.sweeping import sweep_snapshots
from banger.engine.tasks import finish_shielded
from banger.engine.views.queries import view_vm
from banger.errors import BangerError
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from banger.plan.lifecycle import plan_kill, plan_stop
from banger.plan.steps import Step

STOP_DEADLINE_S = 60.0
"""For the flush of the guest's data and its orderly shutdown; the VMM is ended after that."""
UNFLUSHED = "The guest did not confirm that its data was flushed; its last writes may be missing."
UNSAVED = "The file system of the database is full: that the VM has ended is not saved yet."


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
            await drop_wish(engine, vm_id)
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
            await drop_wish(engine, vm_id)
        notice = UNSAVED if engine.live_vm(vm_id).unsaved else None
    await sweep_snapshots(engine)
    return await view_vm(engine, await reload_vm(engine, vm_id), notice=notice)


async def kill_held(engine: Engine, op: Operation, record: VmRecord) -> None:
    """End the VMM of a VM whose lifecycle lock is held."""
    journalled = await _begin_ending(engine, op, record, journal="vm.kill")
    await _end_vm(engine, op, record.id, plan_kill(record.id), journalled=journalled)


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
            await save_failed_end(engine, op, vm_id, error)
            raise
        await save_or_remember(engine, op.id, vm_id, VmState.STOPPED, error=why)

    await finish_shielded(finish())
