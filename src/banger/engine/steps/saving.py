"""Save a machine into a directory of `staging/`: the memory it began as, then its changes.

What the steps of `plan_snapshot` do, and what the making of a template does the same way. The
VM's lifecycle lock is held. If the process dies the directory goes with all of `staging/`,
and recovery lets a VM that was paused for it go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

from banger import guest, templates
from banger.engine.state.agent import reach_agent
from banger.engine.state.engine import Engine
from banger.engine.state.machine import Machine
from banger.engine.steps.actor import Actor
from banger.errors import BangerError, SnapshotUnusable
from banger.host.files import clone_file, ensure_private_dir, space_errors
from banger.model.names import VmId
from banger.plan.steps import BeginSaving, PauseVmm, PublishSnapshot, ResumeVmm, SaveMachine, Step
from banger.templates import SavedFiles, Snapshot

PAUSE_DEADLINE_S = 30.0
SAVE_DEADLINE_S = 60.0
CLOCK_DEADLINE_S = 5.0
ALIVE_DEADLINE_S = 3.0


async def begin_saving(machine: Machine, folder: Path) -> None:
    """Make the directory, with a memory file that has what the VM's memory began as."""
    ensure_private_dir(folder)
    memory, record = folder / templates.MEMORY, machine.record
    if record.origin is None:
        await asyncio.to_thread(_make_empty, memory, record.spec.shape.memory_mib * 2**20)
    else:
        base = machine.engine.layout.origin_dir(record.origin) / templates.MEMORY
        await asyncio.to_thread(clone_file, base, memory)


async def save_machine(machine: Machine, folder: Path) -> None:
    """Write a paused VM's memory, devices' state and data disk.

    Raises:
        SnapshotUnusable: the VMM was upgraded while it ran.
        VmmFailed: it has ended, or cannot be saved.
        NoSpace: the directory's file system is full.
    """
    driver, handle = await machine.driver(), machine.require_vmm()
    state, memory = folder / templates.STATE, folder / templates.MEMORY
    if handle.fingerprint != await driver.fingerprint():
        # An upgrade while it ran: its state would be taken for one of the new VMM's (D5).
        raise SnapshotUnusable(
            f"The VM cannot be saved: another version of banger or {driver.name} started it.",
            hint=f"banger vm restart {machine.record.spec.name}",
        )
    with contextlib.suppress(FileNotFoundError):
        state.unlink()  # of an earlier try
    await driver.save(handle, state=state, memory=memory, deadline_s=SAVE_DEADLINE_S)
    disk = machine.engine.layout.vm_data_disk(machine.id)
    await asyncio.to_thread(clone_file, disk, folder / templates.DATA)


async def pause_vmm(machine: Machine) -> None:
    """Stop the guest's processors."""
    await machine.control.pause(machine.require_vmm(), deadline_s=PAUSE_DEADLINE_S)


async def _resume_vmm(machine: Machine, _: ResumeVmm) -> None:
    """Resume the guest, and set its clock (hazard D1)."""
    await machine.control.resume(machine.require_vmm(), deadline_s=PAUSE_DEADLINE_S)
    with contextlib.suppress(BangerError):
        # One that was adopted while it stood still has no connection yet.
        await reach_agent(machine.runtime, machine.require_vmm(), deadline_s=CLOCK_DEADLINE_S)
    await set_clock(machine.engine, machine.id)


async def undo_pause(machine: Machine) -> None:
    """Let the guest go on, if it is there. Without a connection recovery makes one, and then sets
    the clock: here nobody waits for a guest."""
    handle = machine.vmm
    if handle is None:
        return
    if await machine.control.adopt(handle, deadline_s=ALIVE_DEADLINE_S):
        await machine.control.resume(handle, deadline_s=PAUSE_DEADLINE_S)
        await set_clock(machine.engine, machine.id)


async def set_clock(engine: Engine, vm_id: VmId) -> None:
    """Give a guest the host's time. One whose agent does not answer keeps its own."""
    connection = engine.runtime(vm_id).connection
    if connection is not None and not connection.closed:
        identity = guest.Identity(clock_ns=int(engine.now() * 1e9))
        with contextlib.suppress(BangerError):
            await guest.identify(connection, identity, deadline_s=CLOCK_DEADLINE_S)


async def _publish_snapshot(machine: Machine, step: PublishSnapshot) -> None:
    """Make a snapshot of a complete directory."""
    engine = machine.engine
    snapshot = Snapshot(
        id=step.snapshot,
        vm_id=step.vm_id,
        name=step.name,
        machine=step.machine,
        created_at=engine.now(),
        saved=SavedFiles(state_sha256="", files={}),
        shape=machine.record.spec.shape,
    )
    staged = engine.layout.saving_dir(step.snapshot)
    if staged.exists():
        await asyncio.to_thread(templates.publish_snapshot, engine.layout, staged, snapshot)


def _make_empty(path: Path, size: int) -> None:
    """Make a file that is one hole."""
    with space_errors(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)


async def _begin(machine: Machine, step: BeginSaving) -> None:
    await begin_saving(machine, machine.engine.layout.saving_dir(step.snapshot))


async def _undo_begin(machine: Machine, step: BeginSaving) -> None:
    folder = machine.engine.layout.saving_dir(step.snapshot)
    await asyncio.to_thread(templates.remove_saved, machine.engine.layout, folder)


async def _pause(machine: Machine, _: PauseVmm) -> None:
    await pause_vmm(machine)


async def _undo_pause(machine: Machine, _: Step) -> None:
    await undo_pause(machine)


async def _save(machine: Machine, step: SaveMachine) -> None:
    await save_machine(machine, machine.engine.layout.saving_dir(step.snapshot))


async def _undo_publish(machine: Machine, step: PublishSnapshot) -> None:
    folder = machine.engine.layout.snapshot_dir(step.snapshot)
    await asyncio.to_thread(templates.remove_saved, machine.engine.layout, folder)


ACTORS: tuple[Actor[Any], ...] = (
    Actor(BeginSaving, _begin, undo=_undo_begin, stage="copy memory"),
    Actor(PauseVmm, _pause, undo=_undo_pause, stage="pause"),
    Actor(SaveMachine, _save, stage="save"),
    Actor(ResumeVmm, _resume_vmm, stage="resume"),
    Actor(PublishSnapshot, _publish_snapshot, undo=_undo_publish, stage="keep"),
)
