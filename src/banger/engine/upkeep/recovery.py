"""Make records, journal and processes agree after a daemon has ended in any way.

In this order, and each VM separately, so that a damaged one does not delay the others (B9):

1. Operations in the journal: create, start, pause and snapshot are undone; kill, delete
   and resume are completed; a clone that was being claimed from the pool is deleted. A stop is
   completed while the daemon serves already: its flush may take long, and without it the guest's
   last writes would be lost (A1). So is a restart, because of its boot.
2. Records in state `running`: the VMM is adopted if it is the same process
   (B2, B10), else the VM is `stopped` and its remains are removed.
3. VMs that lived only as long as a client's connection (`run --rm`), and pooled clones, are
   deleted.
4. Processes with a directory of our VMs in their arguments and without a handle are ended. There
   is one if the daemon died between a fork and the save of its handle (B4). In 1 as well, when
   something could not be undone.
5. The directories of requests and builds that were in progress are emptied (A9).

Holds lock L1: the socket does not exist yet, so nothing else changes VMs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Coroutine
from sqlite3 import Connection

import msgspec

from banger import store
from banger.engine.state.became import became
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection
from banger.engine.state.machine import Machine, load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_defer
from banger.engine.state.restartpolicy import decide_restart
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.limits import limit_vm
from banger.engine.steps.network import find_bound, send_secrets, set_bandwidth, set_egress
from banger.engine.steps.runner import run_forward, undo
from banger.engine.steps.saving import set_clock, undo_pause
from banger.engine.transitions.delete import delete_now, forget_vm
from banger.engine.transitions.restart import JOURNAL as RESTART
from banger.engine.transitions.restart import finish_restart
from banger.engine.transitions.stop import finish_stop
from banger.engine.transitions.sweep import sweep_bases, sweep_snapshots
from banger.engine.upkeep.leftovers import find_unrecorded
from banger.errors import BangerError, NotSupported, VmNotFound
from banger.model.names import VmId
from banger.model.vm import LIVE, VmRecord, VmState, is_hidden
from banger.plan.lifecycle import plan_kill
from banger.plan.steps import Step
from banger.vmm.leftovers import end_leftover

log = logging.getLogger(__name__)

ADOPT_DEADLINE_S = 3.0
_STEPS: msgspec.json.Decoder[Step] = msgspec.json.Decoder(Step)


async def recover(engine: Engine) -> None:
    """Make the machine and the records agree."""
    later = []
    for operation in await engine.database.read(store.load_open_operations):
        log.info("recovers %s of %s (%s)", operation.method, operation.vm_id, operation.id)
        if await _is_ending(engine, operation):
            later.append(operation)
            continue
        await _isolated(operation.vm_id, _finish(engine, operation))
        if await _is_to_boot(engine, operation):
            later.append(operation)
    left = {operation.vm_id for operation in later}
    records = await engine.database.read(store.load_vms)
    await asyncio.gather(
        *(_isolated(r.id, _reconcile(engine, r)) for r in records if r.id not in left)
    )
    await _end_leftovers(engine)
    for unfinished in (engine.layout.scratch, engine.layout.staging):
        await asyncio.to_thread(shutil.rmtree, unfinished, ignore_errors=True)
    await sweep_snapshots(engine)
    await sweep_bases(engine)
    for operation in later:
        engine.tasks.start(_isolated(operation.vm_id, _finish_later(engine, operation)))


async def _isolated(vm_id: VmId, work: Coroutine[object, object, None]) -> None:
    """Await work on one VM; a failure is logged and does not affect the others."""
    try:
        await work
    except (BangerError, OSError) as error:
        log.error("recovery of %s failed: %s", vm_id, error)


async def _finish(engine: Engine, operation: store.OpenOperation) -> None:
    """Undo or complete what a dead daemon had begun on one VM."""
    op = Operation(operation.id, operation.method, engine.now())
    try:
        machine = await load_machine(engine, operation.vm_id)
    except VmNotFound:
        # A VM's row goes last: only the end of this journal is missing.
        await engine.database.write(store.end_operation, op.id)
        return
    match operation.method:
        case "vm.create":
            await _undo(machine, operation)
            await engine.database.write(forget_vm, op, operation.vm_id)
        case "vm.start":
            await _undo(machine, operation)
            await engine.database.write(_save_state, operation, VmState.STOPPED)
        case "vm.restart":
            await _undo(machine, operation)
            if await _is_to_boot(engine, operation):
                # The journal stays open: if this daemon dies before the boot, the next one boots.
                await run_forward(machine, op, plan_kill(operation.vm_id), journalled=False)
                stopped = VmState.STOPPED
                await engine.database.write(store.update_state, operation.vm_id, stopped)
            else:
                await _end(machine, op)
        case "vm.snapshot":
            # The VM keeps running, unless it was paused before.
            await _undo(machine, operation)
            await engine.database.write(store.end_operation, op.id)
        case "vm.pause" | "vm.resume":
            await undo_pause(machine)
            # It runs, if its VMM does: it was paused, or was about to be.
            await engine.database.write(_save_state, operation, VmState.RUNNING)
        case "vm.delete" | "vm.claim":
            # Under a journal of its own: dying in here must not lose that it was to be deleted.
            await delete_now(engine, engine.new_operation(op.method), operation.vm_id)
            await engine.database.write(store.end_operation, op.id)
        case _:
            await _end(machine, op)


async def _end(machine: Machine, op: Operation, *, restart_row: bytes | None = None) -> None:
    """End what is left of a VM, even if the disk is too full to save that (A10)."""
    await run_forward(machine, op, plan_kill(machine.id), journalled=False)
    await save_or_defer(machine, op.id, VmState.STOPPED, restart_row=restart_row)


async def _is_ending(engine: Engine, operation: store.OpenOperation) -> bool:
    """Tell whether a stop, or a restart's first half, still has a guest to flush."""
    if operation.method not in ("vm.stop", RESTART):
        return False
    record = await engine.database.read(store.find_vm, operation.vm_id)
    if record is not None and (record.spec.ending.ephemeral or record.state is VmState.STARTING):
        # One that is to be deleted has nothing worth a flush.
        return False
    return record is not None and await _adopt(await load_machine(engine, record.id))


async def _is_to_boot(engine: Engine, operation: store.OpenOperation) -> bool:
    """Tell whether a VM was being restarted, and not for a client that has left."""
    record = await engine.database.read(store.find_vm, operation.vm_id)
    return operation.method == RESTART and record is not None and not record.spec.ending.ephemeral


async def _finish_later(engine: Engine, operation: store.OpenOperation) -> None:
    """Complete a stop or a restart in the background, under the VM's lock like any other."""
    with engine.operations.own(operation.method, operation.vm_id, number=operation.id) as op:
        async with engine.runtime(operation.vm_id).lifecycle.hold(op):
            machine = await load_machine(engine, operation.vm_id)
            if operation.method == RESTART:
                await finish_restart(machine, op)
            else:
                await finish_shielded(finish_stop(machine, op))


async def _undo(machine: Machine, operation: store.OpenOperation) -> None:
    """Undo all that may have been done, also after an error (B3); `gc` shows what is left.

    A VMM whose handle was not saved lives on (B4), and may make files in a directory that is being
    removed. So when something could not be undone, such processes are ended, and it is tried again.
    """
    entries = [entry for entry in reversed(operation.entries) if entry.status != "undone"]
    if left := [entry for entry in entries if not await _try_undo(machine, operation, entry)]:
        await _end_leftovers(machine.engine)
        for entry in left:
            await _try_undo(machine, operation, entry)


async def _try_undo(
    machine: Machine, operation: store.OpenOperation, entry: store.JournalEntry
) -> bool:
    """Undo one step; tell whether that is done."""
    try:
        await undo(machine, _STEPS.decode(entry.step))
    except msgspec.DecodeError:
        log.warning("a step that this banger does not know is left: %r", entry.step[:200])
    except BangerError as error:
        log.warning("%s: undoing %r failed: %s", operation.id, entry.step[:200], error.message)
        return False
    return True


def _save_state(connection: Connection, operation: store.OpenOperation, state: VmState) -> None:
    """Save a VM's state and close the journal, in one transaction."""
    store.update_state(connection, operation.vm_id, state)
    store.end_operation(connection, operation.id)


async def _reconcile(engine: Engine, record: VmRecord) -> None:
    """Compare one record with the machine."""
    if record.state in LIVE:
        machine = await load_machine(engine, record.id)
        lives = record.state in (VmState.RUNNING, VmState.PAUSED)
        if lives and await _adopt(machine) and not record.spec.ending.ephemeral:
            if record.state is VmState.RUNNING:
                engine.tasks.start(_isolated(record.id, _reconnect(engine, record)))
            return
        # How it ended is unknown, such as by a reboot of the host: that counts as a failure.
        restart_row = await decide_restart(engine, record, failed=True) if lives else None
        await _end(machine, engine.new_operation("recover"), restart_row=restart_row)
    kept = record.state is VmState.ERROR and not is_hidden(record)
    if record.spec.ending.ephemeral and not kept:
        await delete_now(engine, engine.new_operation("vm.delete"), record.id)


async def _adopt(machine: Machine) -> bool:
    """Take over the VMM of a VM, if it is that very process and answers."""
    if machine.vmm is None:
        return False
    if not await machine.control.adopt(machine.vmm, deadline_s=ADOPT_DEADLINE_S):
        return False
    became(machine, machine.record.state, error=machine.record.error)
    # VMs of an older banger have no scope. In the background, since a manager may hang.
    machine.engine.tasks.start(_isolated(machine.id, limit_vm(machine)))
    await _isolated(machine.id, _hold_egress(machine))
    return True


async def _hold_egress(machine: Machine) -> None:
    """Give a running network what the VM's row says, if a daemon died between the two."""
    bound = await find_bound(machine)
    with contextlib.suppress(NotSupported):  # an older banger's network; so below
        await set_egress(machine, bound)
    with contextlib.suppress(NotSupported):
        await set_bandwidth(machine)
    with contextlib.suppress(NotSupported):
        await send_secrets(machine, bound)


async def _reconnect(engine: Engine, record: VmRecord) -> None:
    await get_connection(engine, record)
    # The VM may have been paused by a daemon that then died.
    await set_clock(engine, record.id)


async def _end_leftovers(engine: Engine) -> None:
    for leftover in await find_unrecorded(engine):
        log.warning("ends %s (pid %s), which no record knows", leftover.program, leftover.process)
        await _isolated(leftover.vm_id, end_leftover(leftover))
