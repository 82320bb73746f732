"""Start, stop, restart, pause, resume, kill and delete VMs: each takes the lifecycle lock (L2)."""

from __future__ import annotations

from banger import store
from banger.api.method import serves
from banger.api.requests import VmPrune, VmRestart, VmStart, VmStop
from banger.api.results import Deleted, VmView
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import correct_record, get_vm
from banger.engine.state.machine import load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_pending_outcome
from banger.engine.state.restartpolicy import cancel_restart
from banger.engine.state.runtime import RESTARTING
from banger.engine.state.tasks import finish_shielded
from banger.engine.transitions.boot import default_boot_deadline_s, require_bootable, start_held
from banger.engine.transitions.capacity import promised_memory
from banger.engine.transitions.delete import delete_now
from banger.engine.transitions.journal import begin_held
from banger.engine.transitions.pause import pause_held, require_running_or_paused, resume_held
from banger.engine.transitions.restart import JOURNAL, finish_restart
from banger.engine.transitions.stop import UNFLUSHED, UNSAVED, kill_held, stop_held
from banger.engine.transitions.sweep import sweep_snapshots
from banger.engine.verbs.kernels import renewing_kernel
from banger.engine.views.vms import view_vm
from banger.errors import BangerError, VmNotFound
from banger.model.names import VmId
from banger.model.vm import (
    LIVE,
    VmState,
    is_hidden,
    next_spec,
)
from banger.vmm.driver import Capability
from banger.vmm.table import require_capability


@serves("vm.start")
async def start_vm(engine: Engine, op: Operation, params: VmStart) -> VmView:
    """Boot a VM that is not running; one that runs already is left as it is."""
    vm_id = (await get_vm(engine, params.ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op):
        machine = await load_machine(engine, vm_id)
        await save_pending_outcome(machine)
        record = machine.record
        if record.state is VmState.PAUSED:
            await resume_held(machine, op)
        elif record.state is not VmState.RUNNING:
            await require_bootable(engine, record)
            limit = default_boot_deadline_s(record)
            wanted_mib = next_spec(record).shape.memory_mib
            async with (
                promised_memory(engine, op, wanted_mib, force=params.force),
                renewing_kernel(engine, op, record) as kernel,
            ):
                await start_held(machine, op, deadline_s=limit, kernel=kernel)
    return await view_vm(engine, machine.record)


@serves("vm.stop")
async def stop_vm(engine: Engine, op: Operation, params: VmStop) -> VmView:
    """Flush the guest's file systems and shut it down within a deadline, end the VMM (A1, A2).

    The view has a notice if the guest did not confirm the flush in time.
    """
    vm_id = (await get_vm(engine, params.ref)).id
    runtime = engine.runtime(vm_id)
    holder = runtime.lifecycle.holder
    # What the daemon does by itself does not keep a user waiting.
    takes_over = holder is not None and holder.method == RESTARTING
    async with runtime.lifecycle.hold(op, preempt=takes_over):
        machine = await load_machine(engine, vm_id)
        if not await finish_shielded(stop_held(machine, op, deadline_s=params.deadline_s)):
            await cancel_restart(engine, vm_id)
            return await view_vm(engine, machine.record)
        said = [] if runtime.flush_confirmed else [UNFLUSHED]
        said += [] if runtime.pending_outcome is None else [UNSAVED]
    await sweep_snapshots(engine)
    return await view_vm(engine, machine.record, notice=" ".join(said) or None)


@serves("vm.kill")
async def kill_vm(engine: Engine, op: Operation, ref: str) -> VmView:
    """End the VMM at once, whatever holds the VM."""
    vm_id = (await get_vm(engine, ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op, preempt=True):
        machine = await load_machine(engine, vm_id)
        if machine.record.state in (VmState.RUNNING, VmState.PAUSED):
            await finish_shielded(kill_held(machine, op))
        else:
            await cancel_restart(engine, vm_id)
        notice = UNSAVED if machine.runtime.pending_outcome else None
    await sweep_snapshots(engine)
    return await view_vm(engine, machine.record, notice=notice)


@serves("vm.pause")
async def pause_vm(engine: Engine, op: Operation, ref: str) -> VmView:
    """Stop a running VM's processors; one that is paused is left as it is.

    Raises:
        NotSupported: its driver cannot.
        WrongState: it does not run.
    """
    vm_id = (await get_vm(engine, ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op):
        machine = await load_machine(engine, vm_id)
        if machine.record.state is not VmState.PAUSED:
            require_running_or_paused(machine.record)
            require_capability(machine.record.spec.driver, Capability.PAUSE)
            await pause_held(machine, op)
    return await view_vm(engine, machine.record)


@serves("vm.resume")
async def resume_vm(engine: Engine, op: Operation, ref: str) -> VmView:
    """Resume a paused VM; a running VM is left as it is.

    Raises:
        WrongState: it is neither.
    """
    vm_id = (await get_vm(engine, ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op):
        machine = await load_machine(engine, vm_id)
        require_running_or_paused(machine.record)
        await resume_held(machine, op)
    return await view_vm(engine, machine.record)


@serves("vm.restart")
async def restart_vm(engine: Engine, op: Operation, params: VmRestart) -> VmView:
    """Stop a VM without losing what its guest wrote, and boot it; one that does not run is booted.

    The view has a notice if the guest did not confirm the flush in time.

    Raises:
        ToolMissing, NoSpace, NotEnoughMemory: it could not be booted afterwards; it was not
            stopped.
        BootFailed: it was stopped, and did not become ready; it is kept, in state `error`.
    """
    vm_id = (await get_vm(engine, params.ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op):
        machine = await load_machine(engine, vm_id)
        await save_pending_outcome(machine)
        await require_bootable(engine, machine.record)
        wanted_mib = next_spec(machine.record).shape.memory_mib
        before = vm_id if machine.record.state in LIVE else None
        async with (
            promised_memory(engine, op, wanted_mib, instead_of=before, force=params.force),
            renewing_kernel(engine, op, machine.record) as kernel,
        ):
            # A paused guest cannot flush.
            await resume_held(machine, op)
            runs = machine.record.state is VmState.RUNNING
            if runs:
                await begin_held(machine, op, journal=JOURNAL, state=VmState.STOPPING)
            await finish_restart(machine, op, deadline_s=params.deadline_s, kernel=kernel)
        notice = UNFLUSHED if runs and not machine.runtime.flush_confirmed else None
    await sweep_snapshots(engine)
    return await view_vm(engine, machine.record, notice=notice)


@serves("vm.delete")
async def delete_vm(engine: Engine, op: Operation, ref: str) -> Deleted:
    """Delete a VM in whatever state it is; what it was doing is ended first."""
    vm_id = (await get_vm(engine, ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op, preempt=True):
        # A create that just gave way to us has removed its VM itself.
        if await engine.database.read(store.find_vm, vm_id):
            # To the end: half of a VM can be neither used nor seen to be half.
            await finish_shielded(delete_now(engine, op, vm_id))
    return Deleted(ids=[vm_id])


async def delete_ephemeral_vm(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Delete a VM whose client has left, unless the VM was kept meanwhile (`vm.set`)."""
    if (await get_vm(engine, vm_id)).spec.ending.ephemeral:
        await delete_vm(engine, op, vm_id)


@serves("vm.prune")
async def prune_vms(engine: Engine, op: Operation, params: VmPrune) -> Deleted:
    """Delete every VM that has no VMM, even if one of them cannot be (B3); or only name them."""
    idle = {VmState.CREATED, VmState.STOPPED, VmState.ERROR}
    chosen = [
        record.id
        for record in await engine.database.read(store.load_vms)
        if correct_record(engine, record).state in idle
        and not is_hidden(record)
        and engine.runtime(record.id).lifecycle.holder is None
        and (params.ids is None or record.id in params.ids)
    ]
    failures: list[BangerError] = []
    for vm_id in chosen if not params.dry_run else ():
        try:
            await delete_vm(engine, op, vm_id)
        except VmNotFound:
            continue  # deleted by another request meanwhile
        except BangerError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return Deleted(ids=list(chosen))
