"""Queue the requests of clients that flood the daemon, so that they delay only each other.

Queries answered from the records (`QUICK`) run one at a time, each for a millisecond or two. A
query sent within `EAGER_S` of its connection's last reply is eager and waits in a queue with the
eager queries of all connections; any other query skips that queue. Other methods, such as a create
or a stream, are not queued: they may take long and run in parallel.

Patient queries also run one at a time: fifty replies at once would keep their clients busy for
longer than `EAGER_S`, so a flood would count as patient and skip the queue again.

In memory; a queued request is dropped when its client disconnects.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

QUICK = frozenset({"vm.list", "vm.show", "image.list", "kernel.list", "operations.list"})
EAGER_S = 0.02
"""Shorter than the pauses of a person, or of a program that polls."""


class Turns:
    """The queues of one daemon."""

    def __init__(self) -> None:
        # Both locks are fair: the longest waiter is next.
        self._eager = asyncio.Lock()
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def take(self, method: str, *, since_answer_s: float) -> AsyncIterator[None]:
        """Hold a turn for a block, if the method needs a turn."""
        if method not in QUICK:
            yield
            return
        is_eager = since_answer_s < EAGER_S
        async with self._eager if is_eager else contextlib.nullcontext(), self._turn:
            yield
