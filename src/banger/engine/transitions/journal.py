"""Begin a change of a VM in its journal, and save the end of one that failed.

The lifecycle lock (L2) is held by who calls. If the process dies in between, the journal that was
opened here is what recovery goes by.
"""

from __future__ import annotations

from sqlite3 import Connection

from banger import store
from banger.engine.state.became import became
from banger.engine.state.lifetime import LIFETIME
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_defer
from banger.errors import BangerError
from banger.host.identity import is_alive
from banger.model.vm import (
    VmRecord,
    VmState,
    require_transition,
)


async def begin_held(
    machine: Machine,
    op: Operation,
    *,
    journal: str,
    state: VmState,
    changed: VmRecord | None = None,
) -> None:
    """Open the journal under the name that recovery goes by, save the passing state and what
    was changed.

    The lifecycle lock is held. Of a restart the second half's journal replaces the first's. The
    time to live is counted from this start, whatever there was before.
    """
    require_transition(machine.record.state, state)
    now = machine.engine.now()

    def begin(connection: Connection) -> None:
        store.begin_operation(connection, op.id, journal, machine.id, now=now)
        store.update_state(connection, machine.id, state)
        if state is VmState.STARTING:
            store.delete_handle(connection, machine.id, LIFETIME)
        if changed is not None and changed != machine.record:
            store.update_spec(connection, changed)

    await machine.engine.database.write(begin)
    # This state supersedes an outcome that could not be saved.
    machine.runtime.pending_outcome = None
    machine.record = changed or machine.record
    became(machine, state)


async def save_failed_end(machine: Machine, op: Operation, error: BangerError) -> None:
    """Save what is true of a VM that could not be ended: it runs still, or is in state `error`."""
    lives = _has_live_vmm(machine)
    state, why = (VmState.RUNNING, None) if lives else (VmState.ERROR, error.message)
    await save_or_defer(machine, op.id, state, error=why)


def _has_live_vmm(machine: Machine) -> bool:
    """Tell whether a VM's VMM runs; if that cannot be found out it may."""
    try:
        return machine.vmm is not None and is_alive(machine.vmm.process)
    except OSError:
        return True
