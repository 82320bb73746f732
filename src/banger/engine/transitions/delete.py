"""Delete a VM under its lifecycle lock (L2): its processes and files first, its row last.

If the process dies during a delete, recovery completes it.
"""

from __future__ import annotations

from sqlite3 import Connection

from banger import store
from banger.engine.state.became import vanished
from banger.engine.state.engine import Engine
from banger.engine.state.machine import load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import defer
from banger.engine.state.runtime import PendingOutcome
from banger.engine.steps.runner import run_forward
from banger.engine.transitions.journal import save_failed_end
from banger.engine.transitions.sweep import sweep_bases, sweep_snapshots
from banger.errors import BangerError
from banger.forwards import SocketPath, parse_host_end, remove_socket_file
from banger.model.names import VmId
from banger.model.vm import VmState
from banger.plan.lifecycle import plan_delete

ONLY_A_RECORD = (
    "The VM is deleted, except for its record, which could not be removed. Delete the VM again."
)


async def delete_now(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Delete a VM whose lifecycle lock is held. Its row goes last, when all else is gone."""
    machine = await load_machine(engine, vm_id)
    begin, now = store.begin_operation, engine.now()
    journalled = True
    try:
        await engine.database.write(begin, op.id, "vm.delete", vm_id, now=now)
    except store.UNWRITABLE:
        # Deleting is how a user makes space (hazard A10). Without a journal a crash in the
        # middle leaves a row without files, which can be deleted again.
        journalled = False
    try:
        await run_forward(machine, op, plan_delete(vm_id), journalled=journalled)
    except BangerError as error:
        await save_failed_end(machine, op, error)
        raise
    try:
        await forget(engine, op, vm_id)
    except store.UNWRITABLE:
        defer(machine, PendingOutcome(op.id, VmState.ERROR, ONLY_A_RECORD))
        raise
    await sweep_snapshots(engine)
    await sweep_bases(engine)


async def forget(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Remove a VM's row, and tell. Sockets of its user that no daemon holds any more go as well."""
    published = await engine.database.read(store.load_published, vm_id)
    name = await engine.database.write(forget_vm, op, vm_id)
    for end in map(parse_host_end, published):
        if isinstance(end, SocketPath):
            remove_socket_file(end)
    if name is not None:
        vanished(engine, vm_id, name)


def forget_vm(connection: Connection, op: Operation, vm_id: VmId) -> str | None:
    """Remove a VM's row and close the journal of the operation, in one transaction.

    Return the name that it had.
    """
    name = store.find_name(connection, vm_id)
    store.delete_vm(connection, vm_id)
    store.end_operation(connection, op.id)
    return name
