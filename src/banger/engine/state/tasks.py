"""Tasks with an owner: every task is awaited, and its failure reported.

A `TaskGroup` ends all of its tasks when one fails, which is right inside a verb
and wrong for the engine's own loops: a bug in the watcher of one VM must not
end the daemon. Here a failure is logged, and closing cancels and awaits all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class OwnedTasks:
    """The running tasks of one owner."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()
        self.closing = False
        """Whether the owner is ending, which cancels the tasks."""

    def start(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Start a task; it is awaited by whoever wants its result, and by `close`."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return task

    async def close(self) -> None:
        """Cancel every task and return when all have ended."""
        self.closing = True
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)

    def _forget(self, task: asyncio.Task[T]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task failed", exc_info=error)


async def finish_shielded(work: Coroutine[object, object, T]) -> T:
    """Await `work` to its end, however often the caller is cancelled meanwhile.

    Those cancellations are gone afterwards. So it is for what undoes, with a `raise` after it, and
    for what has become too late to undo.
    """
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    return task.result()
