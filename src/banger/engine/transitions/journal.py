"""Between two states of a VM: how a change begins, and how an end that failed is saved.

The lifecycle lock (L2) is held by who calls. If the process dies in between, the journal that was
opened here is what recovery goes by.
"""

from __future__ import annotations

from sqlite3 import Connection

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.handles import load_vmm_handle
from banger.engine.state.lifetime import LIFETIME
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_remember
from banger.errors import BangerError
from banger.host.identity import is_alive
from banger.model.names import VmId
from banger.model.vm import (
    EventKind,
    VmRecord,
    VmState,
    require_transition,
)


async def begin_held(
    engine: Engine,
    op: Operation,
    record: VmRecord,
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
    require_transition(record.state, state)

    def begin(connection: Connection) -> None:
        store.begin_operation(connection, op.id, journal, record.id, now=engine.now())
        store.update_state(connection, record.id, state)
        if state is VmState.STARTING:
            store.delete_handle(connection, record.id, LIFETIME)
        if changed is not None and changed != record:
            store.update_spec(connection, changed)

    await engine.database.write(begin)
    # What had to be remembered is superseded.
    engine.runtime(record.id).unsaved = None
    engine.events.publish(EventKind.STATE, record.id, record.spec.name, state=state)


async def save_failed_end(engine: Engine, op: Operation, vm_id: VmId, error: BangerError) -> None:
    """Save what is true of a VM that could not be ended: it runs still, or is in state `error`."""
    lives = await _has_live_vmm(engine, vm_id)
    state, why = (VmState.RUNNING, None) if lives else (VmState.ERROR, error.message)
    await save_or_remember(engine, op.id, vm_id, state, error=why)


async def _has_live_vmm(engine: Engine, vm_id: VmId) -> bool:
    """Tell whether a VM's VMM runs; if that cannot be found out it may."""
    try:
        handle = await load_vmm_handle(engine, vm_id)
        return handle is not None and is_alive(handle.process)
    except (BangerError, OSError):
        return True
