"""Restart VMs that ended by themselves, as their policy says (`engine.state.restartpolicy`).

The loop looks at the rows when a VM has ended, and once when the daemon starts. Each start waits
in a task of its own, and is then an operation `vm.start_again` that holds the lifecycle lock (L2).
If the process dies during a start recovery undoes it, the row is still there, and the next
daemon begins the wait anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from sqlite3 import Connection

from banger import store
from banger.engine.state.became import ENDED
from banger.engine.state.engine import Engine
from banger.engine.state.machine import load_machine
from banger.engine.state.notices import notify
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_defer
from banger.engine.state.restartpolicy import (
    GIVEN_UP,
    LIMIT,
    Restart,
    RestartOutcome,
    cancel_restart,
    decide_restart,
    parse_restart,
    wait_before,
)
from banger.engine.state.runtime import RESTART, RESTARTING, PendingRestart
from banger.engine.state.tasks import finish_shielded
from banger.engine.transitions.boot import default_boot_deadline_s, start_held
from banger.engine.transitions.capacity import promised_memory
from banger.errors import BangerError, BootFailed, Cancelled, VmNotFound
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState, next_spec

log = logging.getLogger(__name__)


async def start_again(engine: Engine) -> None:
    """Restart each VM whose restart is due, for ever."""
    while True:
        engine.ended.clear()
        records, rows = await engine.database.read(_load)
        for record in records:
            restart = parse_restart(rows.get(record.id))
            if restart is not None and record.state in ENDED:
                _schedule(engine, record, restart)
        await engine.ended.wait()


def _load(connection: Connection) -> tuple[list[VmRecord], dict[VmId, bytes]]:
    return store.load_vms(connection), store.load_handles_of_kind(connection, RESTART)


def _schedule(engine: Engine, record: VmRecord, restart: Restart) -> None:
    runtime, wait_s = engine.runtime(record.id), wait_before(restart)
    if runtime.restart is not None:
        return
    text = f"It ended by itself; start {restart.number} of {LIMIT} is in {wait_s:g} s."
    notify(engine, record, text)
    due_at = asyncio.get_running_loop().time() + wait_s
    task = engine.tasks.start(_start_later(engine, record.id, wait_s))
    runtime.restart = PendingRestart(due_at, task)


async def _start_later(engine: Engine, vm_id: VmId, wait_s: float) -> None:
    runtime = engine.runtime(vm_id)
    try:
        await asyncio.sleep(wait_s)
        with engine.operations.own(RESTARTING, vm_id, is_cancellable=True) as op:
            async with runtime.lifecycle.hold(op, wait=True):
                runtime.restart = None
                await _start(engine, op, vm_id)
    except (VmNotFound, Cancelled) as error:
        log.info("%s is not restarted: %s", vm_id, error.message)
    finally:
        # Ended before it began: no other wait is forgotten.
        if runtime.restart is not None and runtime.restart.task is asyncio.current_task():
            runtime.restart = None


async def _start(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Start a VM, unless a request started or stopped it since; a failure counts as an end."""
    machine = await load_machine(engine, vm_id)
    record = machine.record
    handles = await engine.database.read(store.load_handles, vm_id)
    if record.state not in ENDED or RESTART not in handles:
        return
    # Decided before the start: at every moment until the next start there is a row.
    restart_row = await decide_restart(engine, record, failed=True)
    restart = RestartOutcome(after_failure=restart_row, after_cancel=handles[RESTART])
    limit_s = default_boot_deadline_s(record)
    try:
        async with promised_memory(engine, op, next_spec(record).shape.memory_mib, force=False):
            await start_held(machine, op, deadline_s=limit_s, restart=restart)
    except asyncio.CancelledError:
        if not engine.tasks.closing:
            # A user's stop or delete cancels the restart as well.
            with contextlib.suppress(*store.UNWRITABLE):
                await finish_shielded(cancel_restart(engine, vm_id))
        raise
    except Cancelled:
        raise
    except BangerError as error:
        log.error("%s could not be restarted: %s", record.spec.name, error.message)
        if not isinstance(error, BootFailed):
            # Nothing was begun.
            why = error.message if restart_row else f"{error.message} {GIVEN_UP}"
            await save_or_defer(machine, op.id, VmState.ERROR, error=why, restart_row=restart_row)
