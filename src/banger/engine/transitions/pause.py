"""Pause or resume a VM under its lifecycle lock (L2).

If the process dies during a pause or a resume, recovery resumes the VM.
"""

from __future__ import annotations

import functools

from banger import store
from banger.engine.state.became import became
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_defer, save_pending_outcome, write_outcome
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_forward, run_undoable
from banger.errors import WrongState
from banger.model.vm import VmRecord, VmState
from banger.plan.steps import PauseVmm, ResumeVmm


async def resume_held(machine: Machine, op: Operation) -> None:
    """Resume a VM whose lifecycle lock is held, if it is paused."""
    if machine.record.state is VmState.PAUSED:
        await finish_shielded(_resume(machine, op))


async def _resume(machine: Machine, op: Operation) -> None:
    database, now = machine.engine.database, machine.engine.now()
    await database.write(store.begin_operation, op.id, "vm.resume", machine.id, now=now)
    try:
        await run_forward(machine, op, (ResumeVmm(vm_id=machine.id),))
    except BaseException:
        await database.write(store.end_operation, op.id)
        raise
    await save_or_defer(machine, op.id, VmState.RUNNING)


def require_running_or_paused(record: VmRecord) -> None:
    """Check that a VM has a guest.

    Raises:
        WrongState: it has none.
    """
    if record.state not in (VmState.RUNNING, VmState.PAUSED):
        raise WrongState(
            f"The VM {record.spec.name} is not running (state: {record.state}).",
            hint=f"banger vm start {record.spec.name}",
        )


async def pause_held(machine: Machine, op: Operation) -> None:
    """Stop the processors of a VM that runs, and whose lifecycle lock is held."""
    await save_pending_outcome(machine)
    begin, now = store.begin_operation, machine.engine.now()
    paused = functools.partial(
        write_outcome, operation=op.id, vm_id=machine.id, state=VmState.PAUSED
    )
    try:
        await machine.engine.database.write(begin, op.id, "vm.pause", machine.id, now=now)
        await run_undoable(machine, op, (PauseVmm(vm_id=machine.id),), save=paused)
    except BaseException:
        # It may be saved that the VM is paused, if this was cancelled at the last moment.
        await finish_shielded(save_or_defer(machine, op.id, VmState.RUNNING))
        raise
    became(machine, VmState.PAUSED)
