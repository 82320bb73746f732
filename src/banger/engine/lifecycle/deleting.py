"""Delete and prune VMs. Each holds the VM's lifecycle lock (L2).

If the process dies during a delete, recovery completes it.
"""

from __future__ import annotations

from sqlite3 import Connection

from banger import store
from banger.api.requests import VmPrune
from banger.api.results import Deleted
from banger.engine.engine import Engine
from banger.engine.guests.bases import sweep_bases
from banger.engine.lifecycle.transitions import save_failed_end
from banger.engine.live import Unsaved
from banger.engine.lookup import get_vm
from banger.engine.operations import Operation
from banger.engine.outcome import correct_record, remember
from banger.engine.runner import run_forward
from banger.engine.snapshots.sweeping import sweep_snapshots
from banger.engine.tasks import finish_shielded
from banger.errors import BangerError, VmNotFound
from banger.model.names import VmId
from banger.model.vm import (
    EventKind,
    VmState,
    is_hidden,
)
from banger.plan.lifecycle import (
    plan_delete,
)

ONLY_A_RECORD = "All of it is deleted but its record, which could not be written; delete it again."


async def delete_vm(engine: Engine, op: Operation, ref: str) -> Deleted:
    """Delete a VM in whatever state it is; what it was doing is ended first."""
    vm_id = (await get_vm(engine, ref)).id
    async with engine.live_vm(vm_id).lifecycle.hold(op, preempt=True):
        # A create that just gave way to us has removed its VM itself.
        if await engine.database.read(store.find_vm, vm_id):
            # To the end: half of a VM can be neither used nor seen to be half.
            await finish_shielded(delete_now(engine, op, vm_id))
    return Deleted(ids=[vm_id])


async def delete_ephemeral_vm(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Delete a VM whose client has left, unless the VM was kept meanwhile (`vm.set`)."""
    if (await get_vm(engine, vm_id)).spec.ephemeral:
        await delete_vm(engine, op, vm_id)


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
        await save_failed_end(engine, op, vm_id, error)
        raise
    try:
        await forget(engine, op, vm_id)
    except store.UNWRITABLE:
        remember(engine, vm_id, Unsaved(op.id, VmState.ERROR, ONLY_A_RECORD))
        raise
    gone = engine.live.pop(vm_id, None)
    if gone is not None and gone.restart is not None:
        gone.restart.task.cancel()
    await sweep_snapshots(engine)
    await sweep_bases(engine)


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
