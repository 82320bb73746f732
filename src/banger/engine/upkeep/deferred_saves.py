"""Save pending outcomes (`state.outcome`) once the database can be written again (A10).

Each VM's outcome is saved under its lifecycle lock (L2). While a verb holds the lock, the verb
knows the VM's state better. A VM that ended by itself is restarted only after its outcome is saved.
If the process dies before, recovery finds the VM's true state and saves it.
"""

from __future__ import annotations

import asyncio
import contextlib

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.machine import load_machine
from banger.engine.state.outcome import save_pending_outcome
from banger.errors import Cancelled, VmNotFound

RETRY_S = 5.0
"""Between two tries: a failing write into a full database costs little."""


async def save_pending_outcomes(engine: Engine) -> None:
    """Save each pending outcome, for ever."""
    while True:
        await engine.outcome_pending.wait()
        engine.outcome_pending.clear()
        while any(runtime.pending_outcome for runtime in engine.runtimes.values()):
            await asyncio.sleep(RETRY_S)
            await _save_all(engine)


async def _save_all(engine: Engine) -> None:
    for vm_id, runtime in list(engine.runtimes.items()):
        if runtime.pending_outcome is None or runtime.lifecycle.holder is not None:
            continue
        # A kill or a delete took the lock, or there is still no space.
        with contextlib.suppress(Cancelled, VmNotFound, *store.UNWRITABLE):
            async with runtime.lifecycle.hold(engine.new_operation("vm.ended")):
                await save_pending_outcome(await load_machine(engine, vm_id))
