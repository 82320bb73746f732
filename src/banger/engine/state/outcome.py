"""Save how a verb or a VMM ended; defer the save where the database is full or fails (hazard A10).

A user whose disk is full must be able to end VMs, and must see their true states. So an outcome
that cannot be saved is kept in `VmRuntime.pending_outcome`, overrides the record in every lookup,
and is saved by the next verb that can or by a loop (`upkeep.deferred_saves`). If the process dies
before, recovery finds a record in state `running` without a VMM, and saves the same outcome.
"""

from __future__ import annotations

import logging
from sqlite3 import Connection

from banger import store
from banger.engine.state.became import became
from banger.engine.state.lifetime import LIFETIME, begin_lifetime
from banger.engine.state.machine import Machine
from banger.engine.state.runtime import RESTART, PendingOutcome
from banger.model.names import OperationId, VmId
from banger.model.vm import LIVE, VmState

log = logging.getLogger(__name__)


async def save_outcome(
    machine: Machine,
    operation: OperationId,
    state: VmState,
    *,
    error: str | None = None,
    restart_row: bytes | None = None,
) -> None:
    """Save a VM's state and close the operation's journal, in one transaction.

    `restart_row`: schedules the restart of a VM that ended by itself. None: the VM stays as it is,
    because a user ended it or its policy says so.

    Raises:
        NoSpace, DatabaseFailed: it cannot be written.
    """
    await machine.engine.database.write(
        write_outcome, operation, machine.id, state, error=error, restart_row=restart_row
    )
    machine.runtime.pending_outcome = None
    became(machine, state, error=error)


def write_outcome(
    connection: Connection,
    operation: OperationId,
    vm_id: VmId,
    state: VmState,
    *,
    error: str | None = None,
    restart_row: bytes | None = None,
) -> None:
    """The transaction of `save_outcome`."""
    store.update_state(connection, vm_id, state, error=error)
    if state is VmState.RUNNING:
        store.begin_handle(connection, vm_id, LIFETIME, begin_lifetime())
    elif state not in LIVE:
        store.delete_handle(connection, vm_id, LIFETIME)
        if restart_row is None:
            store.delete_handle(connection, vm_id, RESTART)
        else:
            store.save_handle(connection, vm_id, RESTART, restart_row)
    store.end_operation(connection, operation)


async def save_or_defer(
    machine: Machine,
    operation: OperationId,
    state: VmState,
    *,
    error: str | None = None,
    restart_row: bytes | None = None,
) -> None:
    """Save as `save_outcome` does; keep in memory what cannot be written."""
    try:
        await save_outcome(machine, operation, state, error=error, restart_row=restart_row)
    except store.UNWRITABLE as why:
        log.warning("%s is %s, which cannot be saved yet: %s", machine.id, state, why.message)
        defer(machine, PendingOutcome(operation, state, error, restart_row))


def defer(machine: Machine, pending: PendingOutcome) -> None:
    """Keep in memory how an operation ended, until the database can be written."""
    machine.runtime.pending_outcome = pending
    machine.engine.outcome_pending.set()
    became(machine, pending.state, error=pending.error)


async def save_pending_outcome(machine: Machine) -> None:
    """Save the pending outcome, if there is one; the caller holds the VM's lock.

    Raises:
        NoSpace, DatabaseFailed: it still cannot be written.
    """
    pending = machine.runtime.pending_outcome
    if pending is not None:
        await save_outcome(
            machine,
            pending.operation,
            pending.state,
            error=pending.error,
            restart_row=pending.restart_row,
        )
