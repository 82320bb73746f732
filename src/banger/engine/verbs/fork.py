"""Fork a VM: save it once, and start independent VMs from that.

The VM's lifecycle lock is held while it is saved, and no longer. Each fork is made under a
journal of its own, as every clone is. If the process dies recovery removes the forks that were
not ready and keeps those that were; the VM itself goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os

import msgspec

from banger import store
from banger.api.requests import VmFork
from banger.api.results import VmView
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_vm, require_undamaged
from banger.engine.state.operations import Operation
from banger.engine.state.pins import pinned
from banger.engine.state.tasks import finish_shielded
from banger.engine.transitions.capacity import promised_memory
from banger.engine.transitions.clone import clone_vm, forgotten_if_failed
from banger.engine.transitions.delete import delete_now
from banger.engine.transitions.make import claim_vm
from banger.engine.transitions.preflight import require_programs
from banger.engine.transitions.snapshots import new_snapshot_id, take_snapshot
from banger.engine.transitions.sweep import sweep_snapshots
from banger.engine.views.vms import view_vm
from banger.errors import BangerError, InvalidRequest, VmBusy
from banger.model.names import parse_vm_name
from banger.model.vm import RestartPolicy, VmRecord, VmSpec, WorkspaceRecord, snapshot_origin
from banger.vmm.driver import Capability
from banger.vmm.table import require_capability

FORKS = range(1, 65)


async def fork_vm(engine: Engine, op: Operation, params: VmFork) -> list[VmView]:
    """Make VMs that continue from the state of a VM, each with its own identity (D2); all or none.

    Raises:
        InvalidRequest: the number or the name is not possible.
        NotSupported: the VM's driver cannot save it.
        NameTaken: a VM has one of the names.
        WrongState: the VM does not run.
        NotEnoughMemory: the host's does not hold the forks.
        NoSpace: there is no room for its memory.
    """
    source = await get_vm(engine, params.ref)
    require_undamaged(source)
    require_capability(source.spec.driver, Capability.SNAPSHOTS)
    names = await _choose_names(engine, source, params)
    await require_programs(engine, driver=source.spec.driver, network=source.spec.shape.network)
    each_mib = source.spec.shape.memory_mib
    async with promised_memory(engine, op, each_mib, number=params.number, force=params.force):
        made = await _fork(engine, op, source, names=names, ephemeral=params.ephemeral)
    # Completed even if the client leaves: nobody would know of the forks (C5).
    return await finish_shielded(_view_all(engine, made))


async def _fork(
    engine: Engine, op: Operation, source: VmRecord, *, names: list[str], ephemeral: bool
) -> list[VmRecord]:
    snapshot_id = new_snapshot_id(engine)
    origin = snapshot_origin(snapshot_id)
    try:
        with pinned(engine, op, origin):
            source = await _save(engine, op, source, snapshot=snapshot_id)
            ending = msgspec.structs.replace(source.spec.ending, ephemeral=ephemeral)
            if ephemeral:
                ending = msgspec.structs.replace(ending, restart=RestartPolicy.NO)
            specs = [
                msgspec.structs.replace(source.spec, name=name, ending=ending) for name in names
            ]
            return await _make_all(engine, op, specs, origin=origin, workspace=source.workspace)
    finally:
        await finish_shielded(sweep_snapshots(engine))


async def _view_all(engine: Engine, records: list[VmRecord]) -> list[VmView]:
    return [await view_vm(engine, record) for record in records]


async def _choose_names(engine: Engine, source: VmRecord, params: VmFork) -> list[str]:
    """Return the forks' names: those that were asked for, or the next that are free."""
    if params.number not in FORKS:
        raise InvalidRequest(
            f"A VM can be forked 1 to {FORKS[-1]} times at once, not {params.number}.", hint="-n 4"
        )
    if params.name is not None:
        names = [parse_vm_name(f"{params.name}-{n}") for n in range(1, params.number + 1)]
        for name in names:
            await engine.database.read(store.require_name_free, name)
        return names
    taken = {record.spec.name for record in await engine.database.read(store.load_vms)}
    free = (name for n in itertools.count(1) if (name := f"{source.spec.name}-{n}") not in taken)
    return [parse_vm_name(name) for name in itertools.islice(free, params.number)]


async def _save(engine: Engine, op: Operation, source: VmRecord, *, snapshot: str) -> VmRecord:
    runtime = engine.runtime(source.id)
    async with runtime.lifecycle.hold(op):
        if runtime.workspace.locked():
            raise VmBusy(
                f"A workspace of {source.spec.name} is being prepared or exported.",
                retryable=True,
            )
        op.progress("snapshot")
        return await take_snapshot(engine, op, source.id, snapshot=snapshot, name=None)


async def _make_all(
    engine: Engine,
    op: Operation,
    specs: list[VmSpec],
    *,
    origin: str,
    workspace: WorkspaceRecord | None,
) -> list[VmRecord]:
    """Start a VM for each spec, a few at a time; if one fails none is left."""
    made: dict[str, VmRecord] = {}
    turns = asyncio.Semaphore(max(2, os.cpu_count() or 1))

    async def make(spec: VmSpec) -> None:
        async with turns:
            made[spec.name] = await _make(engine, spec, origin=origin, workspace=workspace)
        op.progress("fork", len(made), len(specs))

    op.progress("fork", 0, len(specs))
    try:
        async with asyncio.TaskGroup() as group:
            for spec in specs:
                group.create_task(make(spec))
    except BaseException as error:
        await finish_shielded(_delete_all(engine, list(made.values())))
        if isinstance(error, BaseExceptionGroup):
            # The first is why the others were cancelled.
            raise error.exceptions[0] from None
        raise
    return [made[spec.name] for spec in specs]


async def _make(
    engine: Engine, spec: VmSpec, *, origin: str, workspace: WorkspaceRecord | None
) -> VmRecord:
    op = engine.new_operation("vm.create")
    machine = await claim_vm(engine, op, spec, origin=origin, workspace=workspace)
    async with machine.runtime.lifecycle.hold(op), forgotten_if_failed(machine, op):
        await clone_vm(machine, op)
    return machine.record


async def _delete_all(engine: Engine, records: list[VmRecord]) -> None:
    for record in records:
        op = engine.new_operation("vm.delete")
        with contextlib.suppress(BangerError):  # logged step by step; `gc` shows what is left
            async with engine.runtime(record.id).lifecycle.hold(op, preempt=True):
                await delete_now(engine, op, record.id)
