"""What a VM begins with: its row with an open journal, and its durable parts."""

from __future__ import annotations

from sqlite3 import Connection

from banger import store
from banger.engine.engine import Engine
from banger.engine.lifecycle import forget_vm
from banger.engine.operations import Operation
from banger.engine.runner import finish_shielded, run_undoable
from banger.model.vm import VmRecord
from banger.plan.lifecycle import plan_create


def insert_claimed(connection: Connection, op: Operation, record: VmRecord) -> None:
    """Claim a VM's name by its row, and open the journal of its making, in one transaction."""
    store.insert_vm(connection, record)
    store.begin_operation(connection, op.id, "vm.create", record.id, now=record.created_at)


async def make_parts(engine: Engine, op: Operation, record: VmRecord) -> None:
    """Make the durable parts of a claimed VM, or leave nothing of it."""
    op.progress("create")
    try:
        await run_undoable(engine, op, plan_create(record.id, record.spec))
    except BaseException:
        await finish_shielded(engine.database.write(forget_vm, op, record.id))
        raise
    await engine.database.write(store.end_operation, op.id)
