"""Lock L4: one build or pull for each key; a second asker gets the first one's result.

The work belongs to the engine's tasks, not to the first asker: when that
one goes away the others still get the result (hazard C3). When the last asker has
gone the work is cancelled. Every asker hears the progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from banger.engine.state.tasks import OwnedTasks
from banger.model.progress import Part, Progress

__all__ = ["Progress", "SharedWork"]

T = TypeVar("T")


class _Work:
    def __init__(self) -> None:
        self.listeners: list[Progress] = []
        self.task: asyncio.Task[object] | None = None

    def tell(
        self,
        stage: str,
        done: int | None = None,
        total: int | None = None,
        parts: tuple[Part, ...] = (),
    ) -> None:
        for listener in self.listeners:
            listener(stage, done, total, parts)


class SharedWork:
    """Work in progress, by key."""

    def __init__(self, tasks: OwnedTasks) -> None:
        self._tasks = tasks
        self._running: dict[str, _Work] = {}

    async def run(
        self, key: str, make: Callable[[Progress], Awaitable[T]], progress: Progress
    ) -> T:
        """Return the result of `make`, started now or by an earlier asker."""
        work = self._running.get(key)
        if work is None:
            work = self._running[key] = _Work()
            work.task = self._tasks.start(self._settle(key, make, work))
        assert work.task is not None
        work.listeners.append(progress)
        try:
            outcome = await asyncio.shield(work.task)
        finally:
            work.listeners.remove(progress)
            if not work.listeners and not work.task.done():
                # Out of the table at once: the next asker must not join work that ends.
                self._forget(key, work)
                work.task.cancel()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome  # type: ignore[return-value]  # the key names one kind of result

    async def _settle(
        self, key: str, make: Callable[[Progress], Awaitable[object]], work: _Work
    ) -> object:
        """Return the result or the error, which belongs to the askers."""
        try:
            return await make(work.tell)
        except Exception as error:  # noqa: BLE001 - handed to every asker, none is lost
            return error
        finally:
            self._forget(key, work)

    def _forget(self, key: str, work: _Work) -> None:
        if self._running.get(key) is work:
            del self._running[key]
