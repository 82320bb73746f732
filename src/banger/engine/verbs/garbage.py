"""Leftovers, which have a name of ours and no record: list them, or remove them."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

from banger import store
from banger.api.method import serves
from banger.api.requests import Gc
from banger.api.results import Leftover
from banger.engine.state.engine import Engine
from banger.engine.upkeep.leftovers import find_unrecorded
from banger.host.files import list_own
from banger.model.names import VmId
from banger.model.vm import LIVE
from banger.vmm.leftovers import end_leftover

VM_ID = re.compile(r"[0-9a-f]{12}")
"""Only names of this shape are looked at, so that nothing of the user's is (hazard A6)."""


@serves("gc")
async def collect_garbage(engine: Engine, params: Gc) -> list[Leftover]:
    """List, or remove, processes and directories of VMs that have no record.

    VMs that an operation works on at this moment are left out.
    """
    records = await engine.database.read(store.load_vms)
    busy = {
        vm_id for vm_id, runtime in engine.runtimes.items() if runtime.lifecycle.holder is not None
    }
    known = {record.id for record in records} | busy
    live = {record.id for record in records if record.state in LIVE} | busy
    found = [
        *await _processes(engine, busy, remove=not params.dry_run),
        *await _directories(engine.layout.vms, known, remove=not params.dry_run),
        *await _directories(engine.layout.runtime / "vms", live, remove=not params.dry_run),
        *await _directories(engine.layout.networks, live, remove=not params.dry_run),
    ]
    return sorted(found, key=lambda leftover: (leftover.kind, leftover.name))


async def _processes(engine: Engine, busy: set[VmId], *, remove: bool) -> list[Leftover]:
    found = []
    for process in await find_unrecorded(engine):
        if process.vm_id in busy:
            continue
        if remove:
            await end_leftover(process)
        name = f"{process.program} (pid {process.process.pid}) of VM {process.vm_id}"
        found.append(Leftover(kind="process", name=name, removed=remove))
    return found


async def _directories(folder: Path, known: set[VmId], *, remove: bool) -> list[Leftover]:
    def look() -> list[Leftover]:
        found = []
        for path in sorted(list_own(folder, VM_ID)):
            if path.name not in known:
                if remove:
                    shutil.rmtree(path)
                found.append(Leftover(kind="directory", name=str(path), removed=remove))
        return found

    return await asyncio.to_thread(look)
