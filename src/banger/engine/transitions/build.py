"""Make a template: boot a hidden VM, save it, publish the files.

The VM has a row like any other, with the role `TemplateBuild`: it is in no list, its journal is
read by recovery, and it is deleted when the daemon starts anew, whatever it was doing. What is
saved of it lies in `staging/`, which recovery empties after that. So a build that is killed leaves
nothing (hazards A9, D9); what is published appears by one rename.

Runs under lock L4 with the template's key, and holds L2 of its own VM.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from banger import guest, store, templates
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection
from banger.engine.state.machine import Machine
from banger.engine.state.operations import (
    OPERATION_ID_BYTES,
    Note,
    Operation,
    Progress,
    format_operation_id,
)
from banger.engine.state.runtime import close_connection
from banger.engine.state.shared import Progress as Tell
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.saving import begin_saving, pause_vmm, save_machine
from banger.engine.transitions.boot import default_boot_deadline_s, start_held
from banger.engine.transitions.delete import delete_now
from banger.engine.transitions.make import insert_claimed, make_parts
from banger.errors import ExecNotFound, VmmFailed
from banger.model.names import ID_BYTES, VmId, format_vm_id
from banger.model.vm import TemplateBuild, VmRecord, VmSpec, VmState, hide
from banger.templates import SavedFiles, Template

QUIESCE_DEADLINE_S = 60.0
HOST_KEYS = (b"/etc/ssh/ssh_host_ed25519_key", b"/etc/ssh/ssh_host_ed25519_key.pub")
QUIESCE = """
rm -f /var/lib/systemd/random-seed /root/.bash_history
for file in /etc/ssh/ssh_host_*; do
    [ -e "$file" ] || continue
    case $file in
    /etc/ssh/ssh_host_ed25519_key*) : >"$file" ;;
    *) rm -f "$file" ;;
    esac
done
"""
"""Removes what no two clones may share, and what a template has no use for (hazards D2, D6). The
files of the host key that each clone gets stay, empty: to fill them is faster than to make them."""


async def build_template(engine: Engine, key: str, spec: VmSpec, tell: Tell) -> Template:
    """Boot a VM of this shape, save it, and publish it as the template `key`.

    Raises:
        BootFailed: it did not become ready.
        NoSpace: the host's disk has no room for the memory.
        VmmFailed: it could not be saved.
    """
    op = report_to(engine, tell)
    machine = Machine(engine, plan_builder(engine, key, spec))
    staged = engine.layout.saving_dir(machine.id)
    try:
        await engine.database.write(insert_claimed, op, machine.record)
        try:
            async with machine.runtime.lifecycle.hold(op):
                await make_parts(machine, op)
                limit = default_boot_deadline_s(machine.record)
                await start_held(machine, op, deadline_s=limit)
                op.progress("save template")
                await quiesce(await get_connection(engine, machine.record))
                await save_builder(machine, staged)
        finally:
            await finish_shielded(delete_anyway(engine, machine.id))
        template = describe_template(engine, key, spec)
        await asyncio.to_thread(templates.publish_template, engine.layout, staged, template)
    finally:
        await asyncio.to_thread(shutil.rmtree, staged, ignore_errors=True)
    return template


def report_to(engine: Engine, tell: Tell) -> Operation:
    """Return an operation of our own; its progress goes to everyone who waits for the build."""

    def report(event: Progress | Note) -> None:
        if isinstance(event, Progress):
            tell(f"template: {event.stage}", event.done, event.total)

    number = engine.random_bytes(OPERATION_ID_BYTES)
    return Operation(format_operation_id(number), "template.build", engine.now(), report)


def plan_builder(engine: Engine, key: str, spec: VmSpec) -> VmRecord:
    """Return the row of a VM that will be saved as the template `key`."""
    vm_id = format_vm_id(engine.random_bytes(ID_BYTES))
    name = f"template/{vm_id}"  # not one that a user can give
    return VmRecord(
        id=vm_id,
        spec=hide(spec, name=name),
        state=VmState.CREATED,
        created_at=engine.now(),
        role=TemplateBuild(key),
    )


async def quiesce(connection: guest.GuestConnection) -> None:
    """Remove what clones must not share, and bring the data disk's file up to date."""
    try:
        removed = await guest.run(
            connection, [b"/bin/sh", b"-c", QUIESCE.encode()], deadline_s=QUIESCE_DEADLINE_S
        )
        status = removed.status
    except ExecNotFound:
        # An image without a shell: only the agent has created secrets in it.
        emptied = guest.Identity(files=tuple(guest.GuestFile(path, b"") for path in HOST_KEYS))
        await guest.identify(connection, emptied, deadline_s=QUIESCE_DEADLINE_S)
        status = 0
    if status != 0:
        raise VmmFailed("The host keys and random seeds of the guest could not be removed.")
    await guest.sync(connection, deadline_s=QUIESCE_DEADLINE_S)


async def save_builder(machine: Machine, staged: Path) -> None:
    """Save a quiesced VM into a directory of `staging/`."""
    # Closed first: the saved agent then waits for a host, as every clone's does (D6).
    await close_connection(machine.runtime)
    await begin_saving(machine, staged)
    await pause_vmm(machine)
    await save_machine(machine, staged)


async def delete_anyway(engine: Engine, vm_id: VmId) -> None:
    """Delete a hidden VM, if it exists; end the operation that holds it."""
    op = engine.new_operation("vm.delete")
    async with engine.runtime(vm_id).lifecycle.hold(op, preempt=True):
        if await engine.database.read(store.find_vm, vm_id):
            await delete_now(engine, op, vm_id)


def describe_template(
    engine: Engine, key: str, spec: VmSpec, *, setup: tuple[str, ...] = ()
) -> Template:
    """Return a template without its files. `setup`: the commands of a layer."""
    return Template(
        key=key,
        image=spec.image,
        image_name=spec.image_name,
        kernel=spec.kernel,
        vcpu=spec.shape.vcpu,
        memory_mib=spec.shape.memory_mib,
        disk_mib=spec.shape.disk_mib,
        created_at=engine.now(),
        setup=setup,
        saved=SavedFiles(state_sha256="", files={}),
    )
