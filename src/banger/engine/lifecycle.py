"""Start, stop, kill, delete and prune VMs. Each holds the VM's lifecycle lock (L2).

If the process dies during a start, recovery undoes it and the VM is `stopped`;
during a stop, kill or delete, recovery completes it.
"""

from __future__ import annotations

import asyncio
from sqlite3 import Connection

import msgspec

from banger import store
from banger.api.methods import Deleted, VmStop, VmView
from banger.engine.engine import Engine
from banger.engine.lookup import get_vm, reload_vm
from banger.engine.operations import Operation
from banger.engine.preflight import require_programs
from banger.engine.queries import load_vmm_handle, view_vm
from banger.engine.runner import (
    finish_shielded,
    run_forward,
    run_undoable,
    run_without_journal,
)
from banger.engine.watch import start_watching
from banger.errors import BangerError, BootFailed, DeadlineExceeded, NoSpace, WrongState
from banger.model.names import VmId
from banger.model.vm import Accel, VmRecord, VmState, require_transition
from banger.plan.lifecycle import plan_delete, plan_kill, plan_start, plan_stop
from banger.plan.steps import Step

BOOT_DEADLINE_S = {Accel.TCG: 300.0, Accel.KVM: 60.0}
"""From the VMM's start until the guest's init has settled."""
STOP_DEADLINE_S = 60.0
"""For the guest's orderly shutdown, after its data was flushed."""
UNFLUSHED = "The guest did not confirm that its data was flushed; its last writes may be missing."


def default_boot_deadline_s(record: VmRecord) -> float:
    """Return how long a VM may take to be ready."""
    return BOOT_DEADLINE_S[record.spec.accel]


async def start_vm(engine: Engine, op: Operation, ref: str) -> VmView:
    """Boot a VM that is not running; one that runs already is left as it is."""
    vm_id = (await get_vm(engine, ref)).id
    async with engine.live_vm(vm_id).lifecycle.hold(op):
        record = await reload_vm(engine, vm_id)
        if record.state is not VmState.RUNNING:
            await require_programs(engine, record.spec.network)
            limit = default_boot_deadline_s(record)
            record = await start_held(engine, op, record, deadline_s=limit)
    return await view_vm(engine, record)


async def start_held(
    engine: Engine, op: Operation, record: VmRecord, *, deadline_s: float
) -> VmRecord:
    """Start a VM whose lifecycle lock is held.

    Raises:
        BootFailed: it did not become ready; it is kept, in state `error`.
    """
    if record.spec.vcpu == 0:
        raise WrongState(
            f"The record of {record.spec.name} is damaged.",
            hint=f"banger vm delete {record.spec.name}",
        )
    await _begin(engine, op, record, journal="vm.start", state=VmState.STARTING)
    try:
        async with asyncio.timeout(deadline_s):
            await run_undoable(engine, op, plan_start(record.id, record.spec))
    except TimeoutError as error:
        slow = DeadlineExceeded(f"It was not ready within {deadline_s:g} s.")
        raise await _boot_failed(engine, op, record, slow) from error
    except BangerError as error:
        raise await _boot_failed(engine, op, record, error) from error
    except BaseException:
        await finish_shielded(_end(engine, op, record.id, VmState.STOPPED))
        raise
    await _end(engine, op, record.id, VmState.RUNNING)
    await watch_vm(engine, record.id)
    return await reload_vm(engine, record.id)


async def stop_vm(engine: Engine, op: Operation, params: VmStop) -> VmView:
    """Flush the guest's file systems, shut it down within a deadline, end the VMM (A1, A2)."""
    vm_id = (await get_vm(engine, params.ref)).id
    live = engine.live_vm(vm_id)
    async with live.lifecycle.hold(op):
        record = await reload_vm(engine, vm_id)
        if record.state is not VmState.RUNNING:
            return await view_vm(engine, record)
        await _begin(engine, op, record, journal="vm.stop", state=VmState.STOPPING)
        await finish_stop(engine, op, vm_id, deadline_s=params.deadline_s)
    notice = None if live.flush_confirmed else UNFLUSHED
    return await view_vm(engine, await reload_vm(engine, vm_id), notice=notice)


async def finish_stop(
    engine: Engine, op: Operation, vm_id: VmId, *, deadline_s: float = STOP_DEADLINE_S
) -> None:
    """Do a stop whose journal is open and whose lifecycle lock is held."""
    await _end_vm(engine, op, vm_id, plan_stop(vm_id, deadline_s=deadline_s))


async def kill_vm(engine: Engine, op: Operation, ref: str) -> VmView:
    """End the VMM at once, whatever holds the VM."""
    vm_id = (await get_vm(engine, ref)).id
    async with engine.live_vm(vm_id).lifecycle.hold(op, preempt=True):
        record = await reload_vm(engine, vm_id)
        if record.state is VmState.RUNNING:
            await _begin(engine, op, record, journal="vm.kill", state=VmState.STOPPING)
            await _end_vm(engine, op, vm_id, plan_kill(vm_id))
    return await view_vm(engine, await reload_vm(engine, vm_id))


async def delete_vm(engine: Engine, op: Operation, ref: str) -> Deleted:
    """Delete a VM in whatever state it is; what it was doing is ended first."""
    vm_id = (await get_vm(engine, ref)).id
    async with engine.live_vm(vm_id).lifecycle.hold(op, preempt=True):
        # A create that just gave way to us has removed its VM itself.
        if await engine.database.read(store.find_vm, vm_id):
            await delete_now(engine, op, vm_id)
    return Deleted(ids=[vm_id])


async def watch_vm(engine: Engine, vm_id: VmId) -> None:
    """Watch the VMM of a VM that runs."""
    handle = await load_vmm_handle(engine, vm_id)
    if handle is not None:
        start_watching(engine, await engine.host.driver(), handle)


async def delete_now(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Delete a VM whose lifecycle lock is held. Its row goes last, when all else is gone."""
    begin, now = store.begin_operation, engine.now()
    try:
        await engine.database.write(begin, op.id, "vm.delete", vm_id, now=now)
        await run_forward(engine, op, plan_delete(vm_id))
    except NoSpace:
        # Deleting is how a user makes space (hazard A10). Without a journal a crash in the
        # middle leaves a row without files, which can be deleted again.
        await run_without_journal(engine, op, plan_delete(vm_id))
    await engine.database.write(forget_vm, op, vm_id)
    engine.live.pop(vm_id, None)


async def prune_vms(engine: Engine, op: Operation, *, dry_run: bool) -> Deleted:
    """Delete every VM that has no VMM; with `dry_run` only name them."""
    idle = {VmState.CREATED, VmState.STOPPED, VmState.ERROR}
    chosen = [
        record.id
        for record in await engine.database.read(store.load_vms)
        if record.state in idle
        and record.spec.builds is None
        and engine.live_vm(record.id).lifecycle.holder is None
    ]
    if not dry_run:
        for vm_id in chosen:
            await delete_vm(engine, op, vm_id)
    return Deleted(ids=list(chosen))


def forget_vm(connection: Connection, op: Operation, vm_id: VmId) -> None:
    """Remove a VM's row and close the journal of the operation, in one transaction."""
    store.delete_vm(connection, vm_id)
    store.end_operation(connection, op.id)


async def _begin(
    engine: Engine, op: Operation, record: VmRecord, *, journal: str, state: VmState
) -> None:
    """Open the journal under the name that recovery goes by, and save the passing state."""
    require_transition(record.state, state)

    def begin(connection: Connection) -> None:
        store.begin_operation(connection, op.id, journal, record.id, now=engine.now())
        store.update_state(connection, record.id, state)
        if state is VmState.STARTING and record.spec.template is not None:
            # It boots from its own disk: the template is not needed from here on.
            spec = msgspec.structs.replace(record.spec, template=None)
            store.update_spec(connection, record.id, spec)

    await engine.database.write(begin)


async def _end(
    engine: Engine, op: Operation, vm_id: VmId, state: VmState, *, error: str | None = None
) -> None:
    """Save the outcome and close the journal, in one transaction."""

    def end(connection: Connection) -> None:
        store.update_state(connection, vm_id, state, error=error)
        store.end_operation(connection, op.id)

    await engine.database.write(end)


async def _end_vm(engine: Engine, op: Operation, vm_id: VmId, steps: tuple[Step, ...]) -> None:
    async def finish() -> None:
        try:
            await run_forward(engine, op, steps)
        except BangerError as error:
            await _end(engine, op, vm_id, VmState.ERROR, error=error.message)
            raise
        await _end(engine, op, vm_id, VmState.STOPPED)

    await finish_shielded(finish())


async def _boot_failed(
    engine: Engine, op: Operation, record: VmRecord, cause: BangerError
) -> BootFailed:
    """Save why a VM did not become ready, and return the error that says so (hazard H5)."""
    await _end(engine, op, record.id, VmState.ERROR, error=cause.message)
    log = engine.layout.vm_console_log(record.id)
    return BootFailed(
        f"{record.spec.name} did not become ready: {cause.message} Its console log is {log}.",
        hint=f"banger vm logs {record.spec.name}",
        details=cause.details,
    )
