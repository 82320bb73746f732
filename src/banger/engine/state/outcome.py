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

from banger import store
from banger.engine.state.became import became
from banger.engine.state.lifetime import LIFETIME, begin_lifetime
from banger.engine.state.machine import Machine
from banger.engine.state.runtime import RESTART, Unsaved
from banger.model.names import OperationId, VmId
from banger.model.vm import LIVE, VmState

log = logging.getLogger(__name__)


async def save_outcome(
    machine: Machine,
    operation: OperationId,
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
    await machine.engine.database.write(
        write_outcome, operation, machine.id, state, error=error, again=again
    )
    machine.runtime.unsaved = None
    became(machine, state, error=error)


def write_outcome(
    connection: Connection,
    operation: OperationId,
    vm_id: VmId,
    state: VmState,
    *,
    error: str | None = None,
    again: bytes | None = None,
) -> None:
    """The transaction of `save_outcome`."""
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


async def save_or_remember(
    machine: Machine,
    operation: OperationId,
    state: VmState,
    *,
    error: str | None = None,
    again: bytes | None = None,
) -> None:
    """As `save_outcome`; what cannot be written is kept in memory."""
    try:
        await save_outcome(machine, operation, state, error=error, again=again)
    except store.UNWRITABLE as why:
        log.warning("%s is %s, which cannot be saved yet: %s", machine.id, state, why.message)
        remember(machine, Unsaved(operation, state, error, again))


def remember(machine: Machine, unsaved: Unsaved) -> None:
    """Keep in memory how an operation ended, until that can be saved."""
    machine.runtime.unsaved = unsaved
    machine.engine.remembered.set()
    became(machine, unsaved.state, error=unsaved.error)


async def save_remembered(machine: Machine) -> None:
    """Save what could not be saved before, if there is something; the VM's lock is held.

    Raises:
        NoSpace, DatabaseFailed: it still cannot be written.
    """
    unsaved = machine.runtime.unsaved
    if unsaved is not None:
        await save_outcome(
            machine, unsaved.operation, unsaved.state, error=unsaved.error, again=unsaved.again
        )
