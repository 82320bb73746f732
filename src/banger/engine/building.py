"""Make a template: boot a VM that nobody sees, save it, publish what is left of it.

The VM has a row like any other, with `builds` set: it is in no list, its journal is read
by recovery, and it is deleted when the daemon starts anew, whatever it was doing. The memory
file lies in `staging/`, which recovery empties after that. So a build that is killed leaves
nothing (hazards A9, D9); what is published appears by one rename.

Runs under lock L4 with the template's key, and holds L2 of its own VM.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from banger import guest, store, templates
from banger.engine.engine import Engine
from banger.engine.lifecycle import default_boot_deadline_s, delete_now, start_held
from banger.engine.live import close_connection
from banger.engine.making import insert_claimed, make_parts
from banger.engine.operations import (
    OPERATION_ID_BYTES,
    Note,
    Operation,
    Progress,
    format_operation_id,
)
from banger.engine.queries import load_vmm_handle
from banger.engine.runner import finish_shielded
from banger.engine.shared import Progress as Tell
from banger.errors import NoSpace, VmmFailed
from banger.host.files import clone_file, ensure_private_dir, space_errors
from banger.model.names import ID_BYTES, VmId, format_vm_id
from banger.model.vm import VmRecord, VmSpec, VmState
from banger.templates import Template

log = logging.getLogger(__name__)

SAVE_DEADLINE_S = 60.0
QUIESCE_DEADLINE_S = 60.0
SECRETS = ("/etc/ssh/ssh_host_*", "/var/lib/systemd/random-seed", "/root/.bash_history")
"""What no two clones may share, and what a template has no use for (hazards D2, D6)."""


async def build_template(engine: Engine, key: str, spec: VmSpec, tell: Tell) -> Template:
    """Boot a VM of this shape, save it, and publish it as the template `key`.

    Raises:
        BootFailed: it did not become ready.
        NoSpace: the host's disk has no room for the memory.
        VmmFailed: it could not be saved.
    """
    op = _operation(engine, tell)
    record = _plan_builder(engine, key, spec)
    with _staged(engine, record) as staged:
        await engine.database.write(insert_claimed, op, record)
        try:
            async with engine.live_vm(record.id).lifecycle.hold(op):
                await make_parts(engine, op, record)
                await start_held(engine, op, record, deadline_s=default_boot_deadline_s(record))
                op.progress("save template")
                await _quiesce(engine, record.id)
                await _save(engine, record.id, staged)
        finally:
            await finish_shielded(_delete_builder(engine, record.id))
        template = _describe(engine, key, spec)
        await asyncio.to_thread(templates.publish_template, engine.layout, staged, template)
    return template


def _operation(engine: Engine, tell: Tell) -> Operation:
    """Return an operation of our own; its progress goes to everyone who waits for the build."""

    def report(event: Progress | Note) -> None:
        if isinstance(event, Progress):
            tell(f"template: {event.stage}", event.done, event.total)

    number = engine.random_bytes(OPERATION_ID_BYTES)
    return Operation(format_operation_id(number), "template.build", engine.now(), report)


def _plan_builder(engine: Engine, key: str, spec: VmSpec) -> VmRecord:
    vm_id = format_vm_id(engine.random_bytes(ID_BYTES))
    changed = {
        "name": f"template/{vm_id}",  # not a name that a user can give
        "labels": {},
        "ephemeral": True,
        "template": None,
        "builds": key,
    }
    return VmRecord(
        id=vm_id,
        spec=msgspec.structs.replace(spec, **changed),
        state=VmState.CREATED,
        created_at=engine.now(),
    )


@contextlib.contextmanager
def _staged(engine: Engine, record: VmRecord) -> Iterator[Path]:
    """The directory of what is to be published, with an empty memory file."""
    staged = ensure_private_dir(engine.layout.template_staging(record.id))
    try:
        size = record.spec.memory_mib * 2**20
        free = shutil.disk_usage(staged).free
        if free < size:
            # A guest whose memory file finds no room is killed by its VMM's SIGBUS.
            raise NoSpace(
                f"A template needs up to {size // 2**20} MiB in {engine.layout.data}; "
                f"{free // 2**20} MiB are free.",
                hint=f"df -h {engine.layout.data}",
            )
        with space_errors(staged):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(staged / templates.MEMORY, flags, 0o600)
            try:
                os.ftruncate(fd, size)
            finally:
                os.close(fd)
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


async def _quiesce(engine: Engine, vm_id: VmId) -> None:
    """Remove what clones must not share, and bring the data disk's file up to date."""
    connection = engine.live_vm(vm_id).connection
    assert connection is not None
    script = f"rm -f {' '.join(SECRETS)}".encode()
    removed = await guest.run(
        connection, [b"/bin/sh", b"-c", script], deadline_s=QUIESCE_DEADLINE_S
    )
    if removed.status != 0:
        raise VmmFailed("What a template must not hold could not be removed from the guest.")
    await guest.sync(connection, deadline_s=QUIESCE_DEADLINE_S)


async def _save(engine: Engine, vm_id: VmId, staged: Path) -> None:
    """Write the devices' state and a copy of the data disk beside the memory file."""
    # Closed first: the saved agent then waits for a host, as every clone's does (D6).
    await close_connection(engine.live_vm(vm_id))
    handle = await load_vmm_handle(engine, vm_id)
    if handle is None:
        raise VmmFailed("The VM that was to become a template has ended.")
    driver = await engine.host.driver()
    await driver.save(handle, staged / templates.STATE, deadline_s=SAVE_DEADLINE_S)
    disk = engine.layout.vm_data_disk(vm_id)
    await asyncio.to_thread(clone_file, disk, staged / templates.DATA)


async def _delete_builder(engine: Engine, vm_id: VmId) -> None:
    op = engine.new_operation("vm.delete")
    async with engine.live_vm(vm_id).lifecycle.hold(op, preempt=True):
        if await engine.database.read(store.find_vm, vm_id):
            await delete_now(engine, op, vm_id)


def _describe(engine: Engine, key: str, spec: VmSpec) -> Template:
    return Template(
        key=key,
        image=spec.image,
        image_name=spec.image_name,
        kernel=spec.kernel,
        vcpu=spec.vcpu,
        memory_mib=spec.memory_mib,
        disk_mib=spec.disk_mib,
        created_at=engine.now(),
        state_sha256="",
        files={},
    )
