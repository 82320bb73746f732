"""Save what could not be saved when it happened, as soon as that can be done (`outcome`, A10).

Each VM's outcome is saved under its lifecycle lock (L2); while a verb holds that, the verb knows
better what is the case. One that ended by itself and is to be started again is, from then on. If
the process dies before, recovery sees what is the case, and saves that.
"""

from __future__ import annotations

import asyncio
import contextlib

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.machine import load_machine
from banger.engine.state.outcome import save_remembered
from banger.errors import Cancelled, VmNotFound

AGAIN_S = 5.0
"""Between two tries: a write into a database that is full costs little, and tells."""


async def save_remembered_outcomes(engine: Engine) -> None:
    """Save each outcome that had to be remembered, for ever."""
    while True:
        await engine.remembered.wait()
        engine.remembered.clear()
        while any(runtime.unsaved for runtime in engine.runtimes.values()):
            await asyncio.sleep(AGAIN_S)
            await _save_all(engine)


async def _save_all(engine: Engine) -> None:
    for vm_id, runtime in list(engine.runtimes.items()):
        if runtime.unsaved is None or runtime.lifecycle.holder is not None:
            continue
        # Taken away by a kill or a delete, or still no room.
        with contextlib.suppress(Cancelled, VmNotFound, *store.UNWRITABLE):
            async with runtime.lifecycle.hold(engine.new_operation("vm.ended")):
                await save_remembered(await load_machine(engine, vm_id))
