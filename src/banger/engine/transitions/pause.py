"""Pause or resume a VM under its lifecycle lock (L2).

If the process dies during a pause recovery lets the VM go on; during a resume, too.
"""

from __future__ import annotations

from sqlite3 import Connection

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import reload_vm
from banger.engine.state.machine import load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_remember, save_remembered, write_outcome
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_forward, run_undoable
from banger.engine.transitions.became import became
from banger.errors import WrongState
from banger.model.vm import VmRecord, VmState
from banger.plan.steps import PauseVmm, ResumeVmm


async def resume_held(engine: Engine, op: Operation, record: VmRecord) -> VmRecord:
    """Let a VM whose lifecycle lock is held go on, if it is paused."""
    if record.state is not VmState.PAUSED:
        return record

    async def finish() -> None:
        now = engine.now()
        await engine.database.write(store.begin_operation, op.id, "vm.resume", record.id, now=now)
        try:
            machine = await load_machine(engine, record.id)
            await run_forward(machine, op, (ResumeVmm(vm_id=record.id),))
        except BaseException:
            await engine.database.write(store.end_operation, op.id)
            raise
        await save_or_remember(engine, op.id, record.id, VmState.RUNNING)

    await finish_shielded(finish())
    return await reload_vm(engine, record.id)


def require_running_or_paused(record: VmRecord) -> None:
    """Check that a VM has a guest.

    Raises:
        WrongState: it has none.
    """
    if record.state not in (VmState.RUNNING, VmState.PAUSED):
        raise WrongState(
            f"The VM {record.spec.name} is {record.state}, not running.",
            hint=f"banger vm start {record.spec.name}",
        )


async def pause_held(engine: Engine, op: Operation, record: VmRecord) -> None:
    """Stop the processors of a VM that runs, and whose lifecycle lock is held."""
    vm_id = record.id

    def save(connection: Connection) -> None:
        write_outcome(connection, op.id, vm_id, VmState.PAUSED)

    await save_remembered(engine, vm_id)
    begin, now = store.begin_operation, engine.now()
    try:
        await engine.database.write(begin, op.id, "vm.pause", vm_id, now=now)
        machine = await load_machine(engine, vm_id)
        await run_undoable(machine, op, (PauseVmm(vm_id=vm_id),), save=save)
    except BaseException:
        # It may be saved that the VM is paused, if this was cancelled at the last moment.
        await finish_shielded(save_or_remember(engine, op.id, vm_id, VmState.RUNNING))
        raise
    became(machine, VmState.PAUSED)
