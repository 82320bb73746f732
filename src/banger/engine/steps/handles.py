"""Processes whose handles are about to be saved."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

from banger.engine.state.tasks import finish_shielded


@contextlib.asynccontextmanager
async def ended_unless_saved(
    end: Callable[[], Coroutine[object, object, None]],
) -> AsyncIterator[None]:
    """End a process if the block that saves its handle fails: it could not be found later."""
    try:
        yield
    except BaseException:
        await finish_shielded(end())
        raise
