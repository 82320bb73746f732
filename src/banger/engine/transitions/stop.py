"""Stop or kill a VM under its lifecycle lock (L2).

If the process dies during a stop or a kill, recovery completes it.
"""

from __future__ import annotations

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import reload_vm
from banger.engine.state.machine import load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_remember
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_forward
from banger.engine.transitions.journal import begin_held, save_failed_end
from banger.engine.transitions.pause import resume_held
from banger.errors import BangerError
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from banger.plan.lifecycle import plan_kill, plan_stop
from banger.plan.steps import Step

STOP_DEADLINE_S = 60.0
"""For the flush of the guest's data and its orderly shutdown; the VMM is ended after that."""
UNFLUSHED = "The guest did not confirm that its data was flushed; its last writes may be missing."
UNSAVED = "The file system of the database is full: that the VM has ended is not saved yet."


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
            await run_forward(await load_machine(engine, vm_id), op, steps, journalled=journalled)
        except BangerError as error:
            await save_failed_end(engine, op, vm_id, error)
            raise
        await save_or_remember(engine, op.id, vm_id, VmState.STOPPED, error=why)

    await finish_shielded(finish())
