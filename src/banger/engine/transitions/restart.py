"""The second part of a restart: what is left of the stop, with its flush, then a boot.

One journal, `vm.restart`, covers both halves, and the record's state tells which: `stopping`, then
`starting`. If the process dies in the first half recovery completes the stop, with its flush (A1);
in the second it undoes the start. In either case it then boots the VM behind the open door: what
was to be restarted runs in the end.
"""

from __future__ import annotations

import asyncio

from banger.engine.state.engine import Engine
from banger.engine.state.lookup import reload_vm
from banger.engine.state.machine import load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_remember
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_forward
from banger.engine.transitions.boot import default_boot_deadline_s, start_held
from banger.engine.transitions.stop import STOP_DEADLINE_S
from banger.errors import BangerError
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from banger.plan.lifecycle import plan_stop

JOURNAL = "vm.restart"


async def finish_restart(
    engine: Engine, op: Operation, vm_id: VmId, *, deadline_s: float = STOP_DEADLINE_S
) -> VmRecord:
    """Do what is left of a restart whose lifecycle lock is held: the record's state tells."""
    record = await reload_vm(engine, vm_id)
    try:
        if record.state is VmState.STOPPING:
            await finish_shielded(_stop(engine, op, vm_id, deadline_s=deadline_s))
            _give_way()
        limit = default_boot_deadline_s(record)
        return await start_held(engine, op, record, deadline_s=limit, journal=JOURNAL)
    finally:
        await finish_shielded(_save_stopped(engine, op, vm_id))


async def _stop(engine: Engine, op: Operation, vm_id: VmId, *, deadline_s: float) -> None:
    try:
        machine = await load_machine(engine, vm_id)
        await run_forward(machine, op, plan_stop(vm_id, deadline_s=deadline_s))
    except BangerError as error:
        await save_or_remember(engine, op.id, vm_id, VmState.ERROR, error=error.message)
        raise


def _give_way() -> None:
    """End here if somebody wants that: what is shielded does not notice."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _save_stopped(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Save that a restart ended between its halves."""
    if (await reload_vm(engine, vm_id)).state is VmState.STOPPING:
        await save_or_remember(engine, op.id, vm_id, VmState.STOPPED)
