"""Remove what was put into guests that are gone: bases that no VM's record names.

A prepare publishes its base before it saves the record, under its VM's workspace lock (L3), so
nothing is removed while any VM has that.
"""

from __future__ import annotations

import asyncio
import logging

from banger import store, workspace
from banger.engine.engine import Engine
from banger.errors import BangerError

log = logging.getLogger(__name__)


async def sweep_bases(engine: Engine) -> None:
    """Remove every base that no VM needs.

    The verb before this is done, and does not fail by it: what is left goes with the next sweep.
    """
    try:
        await _sweep(engine)
    except (BangerError, OSError) as error:
        log.warning("bases of workspaces that nobody needs may be left: %s", error)


async def _sweep(engine: Engine) -> None:
    # In this order: a prepare that ends in between has saved its record before the last look.
    present = await asyncio.to_thread(workspace.list_bases, engine.layout.workspaces)
    if not present or any(live.workspace.locked() for live in engine.live.values()):
        return
    records = await engine.database.read(store.load_vms)
    needed = {record.workspace.base for record in records if record.workspace is not None}
    for base_id in set(present) - needed:
        log.info("removes the base %s, which no workspace needs", base_id)
        await asyncio.to_thread(workspace.remove_base, engine.layout.workspaces, base_id)
