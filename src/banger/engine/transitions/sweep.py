"""Remove saved machines and bases of workspaces that are no longer needed.

`snapshots` says what keeps a snapshot; a base is needed while a VM's record names it. A prepare
publishes its base before it saves the record, under its VM's workspace lock (L3), so no base is
removed while any VM has that.

The verb before a sweep is done, and does not fail by it: what is left goes with the next sweep.
"""

from __future__ import annotations

import asyncio
import logging

from banger import store, templates, workspace
from banger.engine.state.engine import Engine
from banger.errors import BangerError
from banger.model.vm import LIVE, snapshot_of

log = logging.getLogger(__name__)


async def sweep_snapshots(engine: Engine) -> None:
    """Remove every snapshot that no name, no VM and no operation holds."""
    try:
        await _sweep_snapshots(engine)
    except (BangerError, OSError) as error:
        log.warning("unused snapshots may be left: %s", error)


async def _sweep_snapshots(engine: Engine) -> None:
    # The directory is read first: what appears after that is not looked at, and whoever made
    # one before had pinned it, and has not let go before a record names it.
    present = await asyncio.to_thread(templates.list_ids, engine.layout)
    if not present:
        return
    named = await asyncio.to_thread(templates.list_snapshots, engine.layout)
    held = {snapshot_of(origin) for origin in engine.pins}
    records = await engine.database.read(store.load_vms)
    known = {record.id for record in records}
    held |= {snapshot_of(record.origin) for record in records if record.state in LIVE}
    held |= {snapshot.id for snapshot in named if snapshot.name and snapshot.vm_id in known}
    for snapshot_id in set(present) - held:
        log.info("removes the unused snapshot %s", snapshot_id)
        folder = engine.layout.snapshot_dir(snapshot_id)
        await asyncio.to_thread(templates.remove_saved, engine.layout, folder)


async def sweep_bases(engine: Engine) -> None:
    """Remove every base that no VM's record names."""
    try:
        await _sweep_bases(engine)
    except (BangerError, OSError) as error:
        log.warning("unused bases of workspaces may be left: %s", error)


async def _sweep_bases(engine: Engine) -> None:
    # In this order: a prepare that ends in between has saved its record before the last look.
    present = await asyncio.to_thread(workspace.list_bases, engine.layout.workspaces)
    if not present or any(runtime.workspace.locked() for runtime in engine.runtimes.values()):
        return
    records = await engine.database.read(store.load_vms)
    needed = {record.workspace.base for record in records if record.workspace is not None}
    for base_id in set(present) - needed:
        log.info("removes the base %s, which no workspace needs", base_id)
        await asyncio.to_thread(workspace.remove_base, engine.layout.workspaces, base_id)
