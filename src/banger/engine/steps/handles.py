"""Processes whose handles are about to be saved."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

from banger.engine.state.tasks import finish_shielded


@contextlib.asynccontextmanager
async def ended_unless_saved(
    end: Callable[[], Coroutine[object, object, None]],
) -> AsyncIterator[None]:
    """End what was started if the block, which saves its handle, fails: nobody could find it."""
    try:
        yield
    except BaseException:
        await finish_shielded(end())
        raise
