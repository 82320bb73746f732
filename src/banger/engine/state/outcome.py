"""Save how a verb or a VMM ended; remember it where the database is full or fails (hazard A10).

A user whose disk is full must be able to end VMs, and is told the truth about them. So an
outcome that cannot be saved is kept in `VmRuntime.unsaved`, stands over the record whenever that is
looked up, and is saved by the next verb that can, or by a loop (`upkeep.deferred_saves`). If the
process dies before that, recovery sees a record that says `running` and no such VMM, and saves
the same.
"""

from __future__ import annotations

import logging
from sqlite3 import Connection

import msgspec

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.lifetime import LIFETIME, begin_lifetime
from banger.engine.state.runtime import RESTART, Unsaved
from banger.model.names import OperationId, VmId
from banger.model.vm import LIVE, EventKind, VmRecord, VmState

log = logging.getLogger(__name__)


async def save_outcome(
    engine: Engine,
    operation: OperationId,
    vm_id: VmId,
    state: VmState,
    *,
    error: str | None = None,
    again: bytes | None = None,
) -> None:
    """Save a VM's state and close the operation's journal, in one transaction.

    `again`: the row that has it started again, for a VM that ended by itself. Without it a VM
    that has ended stays so: somebody wanted that.

    Raises:
        NoSpace, DatabaseFailed: it cannot be written.
    """
    name = await engine.database.write(
        write_outcome, operation, vm_id, state, error=error, again=again
    )
    engine.runtime(vm_id).unsaved = None
    _tell(engine, vm_id, name, state=state, error=error)


def _tell(
    engine: Engine, vm_id: VmId, name: str | None, *, state: VmState, error: str | None
) -> None:
    if name is not None:
        engine.events.publish(EventKind.STATE, vm_id, name, state=state, text=error)


def write_outcome(
    connection: Connection,
    operation: OperationId,
    vm_id: VmId,
    state: VmState,
    *,
    error: str | None = None,
    again: bytes | None = None,
) -> str | None:
    """The transaction of `save_outcome`; return the VM's name if it is there."""
    store.update_state(connection, vm_id, state, error=error)
    if state is VmState.RUNNING:
        store.begin_handle(connection, vm_id, LIFETIME, begin_lifetime())
    elif state not in LIVE:
        store.delete_handle(connection, vm_id, LIFETIME)
        if again is None:
            store.delete_handle(connection, vm_id, RESTART)
        else:
            store.save_handle(connection, vm_id, RESTART, again)
    store.end_operation(connection, operation)
    return store.find_name(connection, vm_id)


async def save_or_remember(
    engine: Engine,
    operation: OperationId,
    vm_id: VmId,
    state: VmState,
    *,
    error: str | None = None,
    again: bytes | None = None,
) -> None:
    """As `save_outcome`; what cannot be written is kept in memory."""
    try:
        await save_outcome(engine, operation, vm_id, state, error=error, again=again)
    except store.UNWRITABLE as why:
        log.warning("%s is %s, which cannot be saved yet: %s", vm_id, state, why.message)
        remember(engine, vm_id, Unsaved(operation, state, error, again))
        name = await engine.database.read(store.find_name, vm_id)
        _tell(engine, vm_id, name, state=state, error=error)


def remember(engine: Engine, vm_id: VmId, unsaved: Unsaved) -> None:
    """Keep in memory how an operation ended, until that can be saved."""
    engine.runtime(vm_id).unsaved = unsaved
    engine.remembered.set()


async def save_remembered(engine: Engine, vm_id: VmId) -> None:
    """Save what could not be saved before, if there is something; its lock is held.

    Raises:
        NoSpace, DatabaseFailed: it still cannot be written.
    """
    unsaved = engine.runtime(vm_id).unsaved
    if unsaved is None:
        return
    operation, state = unsaved.operation, unsaved.state
    await save_outcome(engine, operation, vm_id, state, error=unsaved.error, again=unsaved.again)
    if unsaved.again is not None:
        engine.ended.set()


def correct_record(engine: Engine, record: VmRecord) -> VmRecord:
    """Return a record as it would be had everything been saved."""
    runtime = engine.runtimes.get(record.id)
    if runtime is None or runtime.unsaved is None:
        return record
    return msgspec.structs.replace(record, state=runtime.unsaved.state, error=runtime.unsaved.error)
