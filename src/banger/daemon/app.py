"""The composition root: builds the daemon's object graph."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from banger.api.requests import VmList
from banger.daemon.bindings import bind_verbs, find_verbs
from banger.daemon.calls import Handlers
from banger.daemon.lifecycle import Control
from banger.daemon.verbs.sockets import Arrivals
from banger.engine import open_engine
from banger.engine.views.vms import list_vms


@contextlib.asynccontextmanager
async def open_handlers(control: Control) -> AsyncIterator[Handlers]:
    """Open the engine for the time of the block; yield every handler."""
    async with open_engine(
        control.layout, control.settings, operations=control.operations
    ) as engine:

        async def count_vms() -> int:
            return len(await list_vms(engine, VmList()))

        control.count_vms = count_vms
        yield bind_verbs(find_verbs(), engine=engine, control=control, arrivals=Arrivals())
