"""Pause and resume VMs. Each holds the VM's lifecycle lock (L2).

If the process dies during a pause recovery lets the VM go on; during a resume, too.
"""

from __future__ import annotations

from sqlite3 import Connection

from banger import store
from banger.api.results import VmView
from banger.engine.engine import Engine
from banger.engine.lookup import get_vm, reload_vm
from banger.engine.operations import Operation
from banger.engine.outcome import save_or_remember, save_remembered, write_outcome
from banger.engine.runner import run_forward, run_undoable
from banger.engine.tasks import finish_shielded
from banger.engine.views.queries import view_vm
from banger.errors import WrongState
from banger.model.vm import EventKind, VmRecord, VmState
from banger.plan.steps import PauseVmm, ResumeVmm


async def pause_vm(engine: Engine, op: Operation, ref: str) -> VmView:
    """Stop a running VM's processors; one that is paused is left as it is.

    Raises:
        WrongState: it does not run.
    """
    vm_id = (await get_vm(engine, ref)).id
    async with engine.live_vm(vm_id).lifecycle.hold(op):
        record = await reload_vm(engine, vm_id)
        if record.state is not VmState.PAUSED:
            require_running_or_paused(record)
            await _pause(engine, op, record)
    return await view_vm(engine, await reload_vm(engine, vm_id))


async def resume_vm(engine: Engine, op: Operation, ref: str) -> VmView:
    """Let a paused VM go on; one that runs is left as it is.

    Raises:
        WrongState: it is neither.
    """
    vm_id = (await get_vm(engine, ref)).id
    async with engine.live_vm(vm_id).lifecycle.hold(op):
        record = await reload_vm(engine, vm_id)
        require_running_or_paused(record)
        await resume_held(engine, op, record)
    return await view_vm(engine, await reload_vm(engine, vm_id))


async def resume_held(engine: Engine, op: Operation, record: VmRecord) -> VmRecord:
    """Let a VM whose lifecycle lock is held go on, if it is paused."""
    if record.state is not VmState.PAUSED:
        return record

    async def finish() -> None:
        now = engine.now()
        await engine.database.write(store.begin_operation, op.id, "vm.resume", record.id, now=now)
        try:
            await run_forward(engine, op, (ResumeVmm(vm_id=record.id),))
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


async def _pause(engine: Engine, op: Operation, record: VmRecord) -> None:
    vm_id = record.id

    def save(connection: Connection) -> None:
        write_outcome(connection, op.id, vm_id, VmState.PAUSED)

    await save_remembered(engine, vm_id)
    begin, now = store.begin_operation, engine.now()
    try:
        await engine.database.write(begin, op.id, "vm.pause", vm_id, now=now)
        await run_undoable(engine, op, (PauseVmm(vm_id=vm_id),), save=save)
    except BaseException:
        # It may be saved that the VM is paused, if this was cancelled at the last moment.
        await finish_shielded(save_or_remember(engine, op.id, vm_id, VmState.RUNNING))
        raise
    engine.events.publish(EventKind.STATE, vm_id, record.spec.name, state=VmState.PAUSED)
