"""Save a VM as a snapshot under its lifecycle lock (L2); the VM continues.

A snapshot is needed while it has a name and its VM is there, while a VM runs on it (its memory
maps the file, and a snapshot of that VM would begin with it), and while an operation has it
pinned. `sweep_snapshots` removes the others, after each verb that may have ended a need.

If the process dies while one is made, recovery undoes it: the VM goes on, and there is no
snapshot.
"""

from __future__ import annotations

from sqlite3 import Connection

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.machine import load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_pending_outcome
from banger.engine.state.pins import pinned
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_undoable
from banger.engine.transitions.pause import require_running_or_paused
from banger.engine.transitions.templates import template_key
from banger.model.names import VmId
from banger.model.vm import (
    VmRecord,
    VmState,
)
from banger.plan.lifecycle import plan_snapshot

SNAPSHOT_ID_BYTES = 8


async def take_snapshot(
    engine: Engine, op: Operation, vm_id: VmId, *, snapshot: str, name: str | None
) -> VmRecord:
    """Save a VM whose lifecycle lock is held, and resume it.

    The caller has pinned the snapshot's origin.
    """

    def close(connection: Connection) -> None:
        store.end_operation(connection, op.id)

    machine = await load_machine(engine, vm_id)
    await save_pending_outcome(machine)
    record = machine.record
    require_running_or_paused(record)
    with pinned(engine, op, record.origin):
        plan = plan_snapshot(
            vm_id,
            snapshot=snapshot,
            machine=await template_key(engine, record.spec),
            name=name,
            is_paused=record.state is VmState.PAUSED,
        )
        begin, now = store.begin_operation, engine.now()
        try:
            await engine.database.write(begin, op.id, "vm.snapshot", vm_id, now=now)
            await run_undoable(machine, op, plan, save=close)
        except BaseException:
            await finish_shielded(engine.database.write(store.end_operation, op.id))
            raise
    return record


def new_snapshot_id(engine: Engine) -> str:
    """Return an id for a snapshot."""
    return engine.random_bytes(SNAPSHOT_ID_BYTES).hex()
