"""Create a VM: decide its spec, claim its name, make what it is made of, start it.

Everything in a request is checked before anything exists (hazard C7): sizes and name
first, then image and kernel (which may be built now), then the claim, which is the
VM's row and an open journal in one transaction.

If the process dies: before the claim nothing is there; after it, recovery undoes
the steps and removes the row; once the start has begun the VM stays, stopped.
"""

from __future__ import annotations

from sqlite3 import Connection

from banger import store
from banger.api.methods import VmCreate, VmView
from banger.config import Settings
from banger.engine.artifacts import ensure_image, ensure_kernel
from banger.engine.engine import Engine
from banger.engine.lifecycle import default_boot_deadline_s, delete_now, forget_vm, start_held
from banger.engine.operations import Operation
from banger.engine.preflight import require_programs
from banger.engine.queries import view_vm
from banger.engine.runner import finish_shielded, run_undoable
from banger.errors import BangerError, Cancelled, InvalidRequest, NameTaken
from banger.model.artifacts import Image, Kernel
from banger.model.names import ID_BYTES, format_vm_id, format_word_pair, parse_vm_name
from banger.model.vm import Accel, NetworkKind, VmRecord, VmSpec, VmState, require_sizes
from banger.plan.lifecycle import plan_create

NAME_TRIES = 20
"""How often another word pair is tried when a generated name is taken."""


async def create_vm(engine: Engine, op: Operation, params: VmCreate) -> VmView:
    """Make a VM and, unless told otherwise, start it.

    A VM whose making fails or is cancelled is gone; one that was made but did not
    boot is kept for its console log, in state `error`.

    Raises:
        InvalidRequest: a size, the name or a label is not possible.
        NameTaken: another VM has the name.
        ToolMissing: the host lacks programs; they are named.
        ImageNotFound, KernelNotFound: and it cannot be made.
        BootFailed: it was made and kept, but is not ready.
    """
    _require_valid(params, engine.settings)
    if params.name is not None:
        # The claim decides; asked here too, so that no image is built for nothing.
        await engine.database.read(store.require_name_free, params.name)
    await require_programs(engine, _network(params, engine.settings))
    image = await ensure_image(
        engine, params.image or engine.settings.text("default_image"), op.progress
    )
    kernel = await ensure_kernel(
        engine, params.kernel or engine.settings.text("default_kernel"), op.progress
    )
    accel = await engine.host.accel()
    op.note("spec", _describe(params, engine.settings, image=image, accel=accel))
    record = await _claim(engine, op, params, image=image, kernel=kernel, accel=accel)
    async with engine.live_vm(record.id).lifecycle.hold(op):
        await _make(engine, op, record)
        if params.start:
            record = await _start_or_delete(engine, op, record, params.deadline_s)
    return await view_vm(engine, record)


def _require_valid(params: VmCreate, settings: Settings) -> None:
    if params.name is not None:
        parse_vm_name(params.name)
    vcpu, memory_mib, disk_mib = _sizes(params, settings)
    require_sizes(vcpu=vcpu, memory_mib=memory_mib, disk_mib=disk_mib)
    for key, value in params.labels.items():
        if not key or "=" in key or "\0" in key + value or len(key) + len(value) > 1024:
            raise InvalidRequest(f"{key!r} is not a label: a name without = is needed.")


def _describe(params: VmCreate, settings: Settings, *, image: Image, accel: Accel) -> str:
    vcpu, memory_mib, disk_mib = _sizes(params, settings)
    disk = f"{disk_mib // 1024} GiB" if disk_mib % 1024 == 0 else f"{disk_mib} MiB"
    return f"{vcpu} vcpu | {memory_mib} MiB | {disk} disk | {image.name} | qemu/{accel}"


def _sizes(params: VmCreate, settings: Settings) -> tuple[int, int, int]:
    def chosen(asked: int | None, default: int) -> int:
        return default if asked is None else asked

    return (
        chosen(params.vcpu, settings.number("vm_defaults.vcpu")),
        chosen(params.memory_mib, settings.number("vm_defaults.memory_mib")),
        chosen(params.disk_mib, settings.number("vm_defaults.disk_gib") * 1024),
    )


def _network(params: VmCreate, settings: Settings) -> NetworkKind:
    return params.network or NetworkKind(settings.text("network"))


async def _claim(
    engine: Engine, op: Operation, params: VmCreate, *, image: Image, kernel: Kernel, accel: Accel
) -> VmRecord:
    """Insert the VM's row; a generated name that is taken is generated again (C6)."""
    tries = 1 if params.name else NAME_TRIES
    while True:
        tries -= 1
        name = params.name or format_word_pair(int.from_bytes(engine.random_bytes(4)))
        vcpu, memory_mib, disk_mib = _sizes(params, engine.settings)
        spec = VmSpec(
            name=name,
            image=image.digest,
            image_name=image.name,
            kernel=kernel.digest,
            vcpu=vcpu,
            memory_mib=memory_mib,
            disk_mib=disk_mib,
            network=_network(params, engine.settings),
            driver="qemu",
            accel=accel,
            labels=params.labels,
            ephemeral=params.ephemeral,
        )
        record = VmRecord(
            id=format_vm_id(engine.random_bytes(ID_BYTES)),
            spec=spec,
            state=VmState.CREATED,
            created_at=engine.now(),
        )
        try:
            await engine.database.write(_insert_with_journal, op, record)
        except NameTaken:
            if not tries:
                raise
        else:
            return record


def _insert_with_journal(connection: Connection, op: Operation, record: VmRecord) -> None:
    store.insert_vm(connection, record)
    store.begin_operation(connection, op.id, "vm.create", record.id, now=record.created_at)


async def _make(engine: Engine, op: Operation, record: VmRecord) -> None:
    """Make the durable parts, or leave nothing."""
    op.progress("create")
    try:
        await run_undoable(engine, op, plan_create(record.id, record.spec))
    except BaseException:
        await finish_shielded(engine.database.write(forget_vm, op, record.id))
        raise
    await engine.database.write(store.end_operation, op.id)


async def _start_or_delete(
    engine: Engine, op: Operation, record: VmRecord, deadline_s: float | None
) -> VmRecord:
    """Start a new VM; one whose client went away meanwhile is deleted, one that failed is kept."""
    limit = default_boot_deadline_s(record) if deadline_s is None else deadline_s
    try:
        return await start_held(engine, op, record, deadline_s=limit)
    except BangerError as error:
        if isinstance(error, Cancelled):
            await finish_shielded(delete_now(engine, op, record.id))
        raise
    except BaseException:
        await finish_shielded(delete_now(engine, op, record.id))
        raise
