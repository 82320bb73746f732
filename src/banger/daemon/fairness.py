"""Turns for clients that ask without a pause, so that they hold up each other and nobody else.

What is answered from the records (`QUICK`) is answered one at a time: each has the processor for a
millisecond or two. A request that comes within `EAGER_S` of its connection's last answer waits in a
queue with those of all connections that do the same; any other goes ahead of that queue. A create
or a stream takes no turn: it may take long, and does so beside others.

One at a time also for the patient ones: fifty answers at once keep their readers busy for longer
than `EAGER_S`, so that those would count as patient, and be answered at once again.

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
        # Each lets in who waits longest.
        self._eager = asyncio.Lock()
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def take(self, method: str, *, since_answer_s: float) -> AsyncIterator[None]:
        """Have a turn for a block, if the request needs one."""
        if method not in QUICK:
            yield
            return
        is_eager = since_answer_s < EAGER_S
        async with self._eager if is_eager else contextlib.nullcontext(), self._turn:
            yield
