"""Remove the snapshots that nobody needs. See `snapshots` for who does."""

from __future__ import annotations

import asyncio
import logging

from banger import store, templates
from banger.engine.engine import Engine
from banger.errors import BangerError
from banger.model.vm import LIVE, snapshot_of

log = logging.getLogger(__name__)


async def sweep_snapshots(engine: Engine) -> None:
    """Remove every snapshot that no name, no VM and no operation holds.

    The verb before this is done, and does not fail by it: what is left goes with the next sweep.
    """
    try:
        await _sweep(engine)
    except (BangerError, OSError) as error:
        log.warning("snapshots that nobody needs may be left: %s", error)


async def _sweep(engine: Engine) -> None:
    # The directory is read first: what appears after that is not looked at, and whoever made
    # one before had pinned it, and has not let go before a record names it.
    present = await asyncio.to_thread(templates.list_ids, engine.layout)
    if not present:
        return
    named = await asyncio.to_thread(templates.list_snapshots, engine.layout)
    held = {snapshot_of(origin) for origin in engine.pins}
    records = await engine.database.read(store.load_vms)
    known = {record.id for record in records}
    held |= {snapshot_of(record.spec.origin) for record in records if record.state in LIVE}
    held |= {snapshot.id for snapshot in named if snapshot.name and snapshot.vm_id in known}
    for snapshot_id in set(present) - held:
        log.info("removes the snapshot %s, which nobody needs", snapshot_id)
        folder = engine.layout.snapshot_dir(snapshot_id)
        await asyncio.to_thread(templates.remove_saved, engine.layout, folder)
