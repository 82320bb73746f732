"""Open and close the engine, all or nothing (hazard B6).

Opening: the database, then recovery of what a dead daemon left. Closing ends the
engine's tasks, the clones that nobody has claimed, and its connections to guests; VMs go
on (B1, B11).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from banger.engine.state.engine import Attendant, Engine
from banger.engine.state.hostfacts import HostFacts
from banger.engine.state.running import OperationTable
from banger.engine.state.runtime import close_connection
from banger.engine.state.settings import SettingsNow
from banger.engine.state.shared import SharedWork
from banger.engine.state.tasks import OwnedTasks
from banger.engine.transitions.pool import drain_pool
from banger.engine.transitions.watch import watch_vmm
from banger.engine.upkeep import start_upkeep
from banger.engine.upkeep.forwarding import attend_ports
from banger.engine.upkeep.recovery import recover
from banger.layout import Layout
from banger.store import open_database

ATTENDANTS = (Attendant("watcher", watch_vmm), Attendant("ports", attend_ports))
"""The attendants of each VM that has a VMM, in the order of their start."""


@contextlib.asynccontextmanager
async def open_engine(
    layout: Layout, settings: SettingsNow, *, operations: OperationTable | None = None
) -> AsyncIterator[Engine]:
    """Hold the engine for a block; needs the daemon's lock (L1).

    `operations`: the table that the requests of clients are in, too.

    Raises:
        HostNotReady: the database was written by a newer banger.
    """
    database = await open_database(layout.database)
    tasks = OwnedTasks()
    try:
        engine = Engine(
            layout,
            settings,
            database,
            HostFacts(settings),
            tasks,
            SharedWork(tasks),
            operations or OperationTable(),
            ATTENDANTS,
        )
        try:
            await recover(engine)
            start_upkeep(engine)
            yield engine
        finally:
            await tasks.close()
            await drain_pool(engine, lambda _, __: True)
            # No thread is busy any more: the tasks have waited for theirs.
            engine.transfers.shutdown(wait=False)
            for runtime in engine.runtimes.values():
                await close_connection(runtime)
    finally:
        await database.close()
