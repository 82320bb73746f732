"""Work side by side, for programs with an asyncio loop: a task for each worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager


async def run_workers(
    work: Callable[[], Awaitable[None]], number: int, *, within: AbstractContextManager[None]
) -> None:
    """Have so many work, each to its end, and wait for them `within` a block.

    Raises: what the first of them has raised.
    """
    with within:
        ends = await asyncio.gather(*(work() for _ in range(number)), return_exceptions=True)
    for failed in filter(None, ends):
        raise failed
