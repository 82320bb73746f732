"""Create, list, restore and delete a VM's snapshots, with the rules of `transitions.snapshots`.

A restore is an end of the VM and a start, each with its own journal: if the process dies in
between or later the VM is `stopped`, and the snapshot is there to be restored again.
"""

from __future__ import annotations

import asyncio

import msgspec

from banger import store, templates
from banger.api.method import serves
from banger.api.results import Deleted, SnapshotView, VmView
from banger.api.snapshots import SnapshotCreate, SnapshotRef, SnapshotRestore
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_vm, require_undamaged
from banger.engine.state.machine import Machine, load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.pins import pinned
from banger.engine.state.tasks import finish_shielded
from banger.engine.transitions.boot import restore_held
from banger.engine.transitions.capacity import promised_memory
from banger.engine.transitions.preflight import require_programs
from banger.engine.transitions.snapshots import new_snapshot_id, take_snapshot
from banger.engine.transitions.stop import kill_held
from banger.engine.transitions.sweep import sweep_snapshots
from banger.engine.transitions.templates import template_key
from banger.engine.views.vms import view_vm
from banger.errors import SnapshotExists, SnapshotNotFound, SnapshotUnusable, TemplateUnusable
from banger.model.names import VmId, parse_vm_name
from banger.model.vm import (
    LIVE,
    Shape,
    VmRecord,
    VmSpec,
    snapshot_of,
    snapshot_origin,
)
from banger.nearnames import format_near_hint
from banger.templates import Snapshot
from banger.vmm.driver import Capability
from banger.vmm.table import require_capability

RESTORE_DEADLINE_S = 60.0


@serves("snapshot.create")
async def create_snapshot(engine: Engine, op: Operation, params: SnapshotCreate) -> SnapshotView:
    """Save a VM's memory and disk; the VM keeps running.

    Raises:
        NotSupported: its driver cannot save it.
        WrongState: the VM does not run.
        SnapshotExists: the VM has one of this name.
        NoSpace: there is no room for it.
    """
    if params.name is not None:
        parse_vm_name(params.name)
    vm_id = (await _get_able(engine, params.ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op):
        taken = {snapshot.name for snapshot in await _snapshots_of(engine, vm_id)}
        name = params.name or _free_name(taken)
        if name in taken:
            raise SnapshotExists(
                f"The VM {params.ref} already has a snapshot named {name}.",
                hint=f"banger vm snapshot create {params.ref} {_free_name(taken)}",
            )
        snapshot_id = new_snapshot_id(engine)
        with pinned(engine, op, snapshot_origin(snapshot_id)):
            await take_snapshot(engine, op, vm_id, snapshot=snapshot_id, name=name)
    return next(view for view in await list_snapshots(engine, vm_id) if view.id == snapshot_id)


@serves("snapshot.list")
async def list_snapshots(engine: Engine, ref: str, forks: bool = False) -> list[SnapshotView]:
    """Return a VM's snapshots, oldest first. Changes nothing (B8)."""
    record = await get_vm(engine, ref)
    users: dict[str, list[str]] = {}
    for other in await engine.database.read(store.load_vms):
        used = snapshot_of(other.origin)
        if used is not None and other.state in LIVE:
            users.setdefault(used, []).append(other.spec.name)
    return [
        SnapshotView(
            id=snapshot.id,
            name=snapshot.name or "",
            vm_id=snapshot.vm_id,
            created_at=snapshot.created_at,
            size_bytes=templates.disk_bytes(engine.layout.snapshot_dir(snapshot.id)),
            users=users.get(snapshot.id, []),
        )
        for snapshot in await _snapshots_of(engine, record.id, forks=forks)
    ]


@serves("snapshot.restore")
async def restore_snapshot(engine: Engine, op: Operation, params: SnapshotRestore) -> VmView:
    """Put a VM, whatever it does, back to a snapshot of it; what came after is lost.

    Raises:
        NotSupported: its driver cannot.
        SnapshotNotFound: the VM has none of this name.
        SnapshotUnusable: it is damaged, or was made by another VMM or for another machine.
        NotEnoughMemory: the host has too little memory; the VM keeps running.
        BootFailed: it did not start; the VM is kept, in state `error`.
    """
    vm_id = (await _get_able(engine, params.ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op):
        machine = await load_machine(engine, vm_id)
        record = machine.record
        snapshot = await _find(engine, record, params.name)
        # The machine as it was then, also where it was changed since.
        shape = snapshot.shape or record.spec.shape
        spec = msgspec.structs.replace(record.spec, shape=shape)
        await _require_fit(engine, spec, snapshot)
        await require_programs(engine, driver=spec.driver, network=spec.shape.network)
        async with promised_memory(
            engine, op, shape.memory_mib, instead_of=vm_id, force=params.force
        ):
            await _restore(machine, op, shape, snapshot_origin(snapshot.id))
    await sweep_snapshots(engine)
    return await view_vm(engine, machine.record)


async def _restore(machine: Machine, op: Operation, shape: Shape, origin: str) -> None:
    with pinned(machine.engine, op, origin):
        if machine.record.state in LIVE:
            await finish_shielded(kill_held(machine, op))
        limit = RESTORE_DEADLINE_S
        await restore_held(machine, op, shape=shape, origin=origin, deadline_s=limit)


@serves("snapshot.delete")
async def delete_snapshot(engine: Engine, op: Operation, params: SnapshotRef) -> Deleted:
    """Delete a snapshot; a VM that runs on it keeps what it needs of it.

    Raises:
        SnapshotNotFound: the VM has none of this name.
    """
    record = await get_vm(engine, params.ref)
    async with engine.runtime(record.id).lifecycle.hold(op):
        snapshot = await _find(engine, record, params.name)
        await asyncio.to_thread(templates.forget_name, engine.layout, snapshot)
    await sweep_snapshots(engine)
    return Deleted(ids=[snapshot.id])


async def _get_able(engine: Engine, ref: str) -> VmRecord:
    """Return a VM whose driver can save and restore it."""
    record = await get_vm(engine, ref)
    require_undamaged(record)
    require_capability(record.spec.driver, Capability.SNAPSHOTS)
    return record


async def _snapshots_of(engine: Engine, vm_id: VmId, *, forks: bool = False) -> list[Snapshot]:
    """Return a VM's snapshots; those without a name, which forks are made of, only with `forks`."""
    found = await asyncio.to_thread(templates.list_snapshots, engine.layout)
    return [each for each in found if each.vm_id == vm_id and (each.name or forks)]


async def _find(engine: Engine, record: VmRecord, untrusted_name: str) -> Snapshot:
    snapshots = await _snapshots_of(engine, record.id)
    for snapshot in snapshots:
        if untrusted_name in (snapshot.name, snapshot.id):
            return snapshot
    names = [snapshot.name for snapshot in snapshots if snapshot.name]
    see = f"banger vm snapshot list {record.spec.name}"
    raise SnapshotNotFound(
        f"The VM {record.spec.name} has no snapshot {untrusted_name}.",
        hint=format_near_hint(untrusted_name, names, see=see),
    )


async def _require_fit(engine: Engine, spec: VmSpec, snapshot: Snapshot) -> None:
    """Check that a snapshot is whole and that this host's VMM can load it (D5)."""
    hint = f"banger vm snapshot list {spec.name}"
    if snapshot.machine != await template_key(engine, spec):
        raise SnapshotUnusable(
            f"The snapshot {snapshot.name} was made by another version of banger or the VMM, "
            "or on another CPU.",
            hint=hint,
        )
    folder = engine.layout.snapshot_dir(snapshot.id)
    try:
        await asyncio.to_thread(
            templates.require_intact, folder, snapshot.saved, what=f"snapshot {snapshot.name}"
        )
    except TemplateUnusable as error:
        raise SnapshotUnusable(error.message, hint=hint) from error


def _free_name(taken: set[str | None]) -> str:
    number = 1
    while f"snapshot-{number}" in taken:
        number += 1
    return f"snapshot-{number}"
