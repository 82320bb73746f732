"""Restart VMs: a stop with its flush, then a boot, as one operation. Holds the lifecycle lock (L2).

One journal, `vm.restart`, covers both halves, and the record's state tells which: `stopping`, then
`starting`. If the process dies in the first half recovery completes the stop, with its flush (A1);
in the second it undoes the start. In either case it then boots the VM behind the open door: what
was to be restarted runs in the end.
"""

from __future__ import annotations

import asyncio

from banger.api.requests import VmRestart
from banger.api.results import VmView
from banger.engine.engine import Engine
from banger.engine.lifecycle.capacity import promised_memory
from banger.engine.lifecycle.pausing import resume_held
from banger.engine.lifecycle.starting import default_boot_deadline_s, require_bootable, start_held
from banger.engine.lifecycle.stopping import STOP_DEADLINE_S, UNFLUSHED
from banger.engine.lifecycle.transitions import begin_held
from banger.engine.lookup import get_vm, reload_vm
from banger.engine.operations import Operation
from banger.engine.outcome import save_or_remember, save_remembered
from banger.engine.runner import run_forward
from banger.engine.snapshots.sweeping import sweep_snapshots
from banger.engine.tasks import finish_shielded
from banger.engine.views.queries import view_vm
from banger.errors import BangerError
from banger.model.names import VmId
from banger.model.vm import LIVE, VmRecord, VmState, next_spec
from banger.plan.lifecycle import plan_stop

JOURNAL = "vm.restart"


async def restart_vm(engine: Engine, op: Operation, params: VmRestart) -> VmView:
    """Stop a VM without losing what its guest wrote, and boot it; one that does not run is booted.

    The view has a notice if the guest did not confirm the flush in time.

    Raises:
        ToolMissing, NoSpace, NotEnoughMemory: it could not be booted afterwards; it was not
            stopped.
        BootFailed: it was stopped, and did not become ready; it is kept, in state `error`.
    """
    vm_id = (await get_vm(engine, params.ref)).id
    live = engine.live_vm(vm_id)
    async with live.lifecycle.hold(op):
        await save_remembered(engine, vm_id)
        record = await reload_vm(engine, vm_id)
        await require_bootable(engine, record)
        wanted_mib = next_spec(record.spec).memory_mib
        before = vm_id if record.state in LIVE else None
        async with promised_memory(engine, op, wanted_mib, instead_of=before, force=params.force):
            # A guest that stands still could not flush.
            record = await resume_held(engine, op, record)
            runs = record.state is VmState.RUNNING
            if runs:
                await begin_held(engine, op, record, journal=JOURNAL, state=VmState.STOPPING)
            record = await finish_restart(engine, op, vm_id, deadline_s=params.deadline_s)
        notice = UNFLUSHED if runs and not live.flush_confirmed else None
    await sweep_snapshots(engine)
    return await view_vm(engine, record, notice=notice)


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
        await run_forward(engine, op, plan_stop(vm_id, deadline_s=deadline_s))
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
