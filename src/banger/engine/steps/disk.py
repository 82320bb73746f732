"""The directories of a VM, its data disk, and the host key of its guest."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from banger import templates
from banger.engine.state.machine import Machine
from banger.engine.steps.actor import Actor
from banger.host import programs
from banger.host.files import clone_file, ensure_private_dir
from banger.plan.steps import (
    CloneDataDisk,
    GrowDataDisk,
    MakeDataDisk,
    MakeHostKeys,
    MakeRuntimeDir,
    MakeVmDir,
    RemoveRuntimeDir,
    RemoveVmDir,
    ReplaceDataDisk,
    Step,
)

TOOL_DEADLINE_S = 60.0


async def _make_vm_dir(machine: Machine, _: Step) -> None:
    ensure_private_dir(machine.engine.layout.vm_dir(machine.id))


async def _remove_vm_dir(machine: Machine, _: Step) -> None:
    await _remove_tree(machine.engine.layout.vm_dir(machine.id))


async def _make_runtime_dir(machine: Machine, _: Step) -> None:
    ensure_private_dir(machine.engine.layout.vm_runtime(machine.id))


async def _remove_runtime_dir(machine: Machine, _: Step) -> None:
    await _remove_tree(machine.engine.layout.vm_runtime(machine.id))
    await _remove_tree(machine.engine.layout.vm_network_runtime(machine.id))


async def _make_data_disk(machine: Machine, step: MakeDataDisk) -> None:
    """Make a sparse ext4; a file that is there was finished, since it is renamed into place."""
    path = machine.engine.layout.vm_data_disk(machine.id)
    if path.exists():
        return
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    await programs.run(
        [
            "mke2fs",
            *("-q", "-F", "-t", "ext4", "-L", "banger-data", "-m", "0"),
            # Inode tables are zero in a sparse file already; no journal checksum pass.
            *("-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"),
            str(partial),
            f"{step.size_mib}M",
        ],
        deadline_s=TOOL_DEADLINE_S,
    )
    partial.rename(path)


async def _grow_data_disk(machine: Machine, step: GrowDataDisk) -> None:
    """Make a disk larger by a hole; one that is as large already is left as it is."""
    path = machine.engine.layout.vm_data_disk(machine.id)
    size = step.size_mib * 2**20
    if path.stat().st_size < size:
        os.truncate(path, size)


async def _clone_data_disk(machine: Machine, step: CloneDataDisk) -> None:
    target = machine.engine.layout.vm_data_disk(machine.id)
    if not target.exists():
        await asyncio.to_thread(clone_file, _saved_disk(machine, step.origin), target)


async def _replace_data_disk(machine: Machine, step: ReplaceDataDisk) -> None:
    target = machine.engine.layout.vm_data_disk(machine.id)
    await asyncio.to_thread(clone_file, _saved_disk(machine, step.origin), target)


def _saved_disk(machine: Machine, origin: str) -> Path:
    return machine.engine.layout.origin_dir(origin) / templates.DATA


async def _make_host_keys(machine: Machine, _: MakeHostKeys) -> None:
    path = machine.engine.layout.vm_host_key(machine.id)
    if path.with_suffix(".pub").exists():
        return
    path.unlink(missing_ok=True)
    await programs.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)],
        deadline_s=TOOL_DEADLINE_S,
    )


async def _remove_tree(path: Path) -> None:
    """Remove a directory of ours with all in it; fine if it is gone."""

    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)

    await asyncio.to_thread(remove)


ACTORS: tuple[Actor[Any], ...] = (
    Actor(MakeVmDir, _make_vm_dir, undo=_remove_vm_dir),
    Actor(MakeDataDisk, _make_data_disk),
    Actor(GrowDataDisk, _grow_data_disk),
    Actor(CloneDataDisk, _clone_data_disk, stage="clone disk"),
    Actor(ReplaceDataDisk, _replace_data_disk, stage="restore disk"),
    Actor(MakeHostKeys, _make_host_keys),
    Actor(MakeRuntimeDir, _make_runtime_dir, undo=_remove_runtime_dir),
    Actor(RemoveRuntimeDir, _remove_runtime_dir),
    Actor(RemoveVmDir, _remove_vm_dir),
)
