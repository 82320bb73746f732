"""Turns for clients that ask without a pause, so that they hold up each other and nobody else.

A request that comes within `EAGER_S` of its connection's last answer waits in one queue with those
of all connections that do the same; any other goes ahead of them. Only what is answered from the
records (`QUICK`) takes turns: it has the processor for a millisecond or two, while a create or a
stream may take long, and does so beside others.

In memory; a waiting request whose client leaves is out of the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

QUICK = frozenset({"vm.list", "vm.show", "image.list", "kernel.list", "operations.list"})
EAGER_S = 0.02
"""A person, or a program that looks every so often, pauses for longer."""


class Turns:
    """The queue of one daemon."""

    def __init__(self) -> None:
        self._queue = asyncio.Lock()  # lets in who waits longest

    @contextlib.asynccontextmanager
    async def take(self, method: str, *, since_answer_s: float) -> AsyncIterator[None]:
        """Have a turn for a block, if the request needs one."""
        if method not in QUICK or since_answer_s >= EAGER_S:
            yield
            return
        async with self._queue:
            yield
