"""Work that goes on until something ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Never, TypeVar

T = TypeVar("T")
End = Callable[[], Coroutine[object, object, Never]]
"""What waits for an end, and raises the error that says so."""


async def run_until(work: Coroutine[object, object, T], *ends: End) -> T:
    """Return the result of work, or raise what the first of the ends raises. All are cancelled."""
    working = asyncio.ensure_future(work)
    ending = [asyncio.ensure_future(end()) for end in ends]
    try:
        await asyncio.wait({working, *ending}, return_when=asyncio.FIRST_COMPLETED)
        for end in ending:
            if end.done() and not working.done():
                end.result()
        return working.result()
    finally:
        for task in (working, *ending):
            task.cancel()
        await asyncio.gather(working, *ending, return_exceptions=True)
