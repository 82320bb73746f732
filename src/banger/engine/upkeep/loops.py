"""The table of all loops, and their start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from banger.engine.state.engine import Engine
from banger.engine.upkeep.consoles import keep_consoles_short
from banger.engine.upkeep.deferred_saves import save_pending_outcomes
from banger.engine.upkeep.expiry import end_what_is_over
from banger.engine.upkeep.health import look_after_guests
from banger.engine.upkeep.nameservers import keep_nameservers
from banger.engine.upkeep.naming import keep_names
from banger.engine.upkeep.refilling import keep_pool
from banger.engine.upkeep.restarts import start_again
from banger.engine.upkeep.sampling import keep_histories

Loop = Callable[[Engine], Coroutine[object, object, None]]

LOOPS: tuple[Loop, ...] = (
    keep_consoles_short,
    end_what_is_over,
    look_after_guests,
    start_again,
    save_pending_outcomes,
    keep_pool,
    keep_names,
    keep_nameservers,
    keep_histories,
)
RETRY_S = 30.0
"""After a failure, which the engine's tasks log, a loop is begun anew."""


def start_upkeep(engine: Engine) -> None:
    """Start every loop; needs an engine that has recovered."""
    for loop in LOOPS:
        engine.tasks.start(_go_on(engine, loop))


async def _go_on(engine: Engine, loop: Loop) -> None:
    while True:
        await asyncio.wait({engine.tasks.start(loop(engine))})
        await asyncio.sleep(RETRY_S)
