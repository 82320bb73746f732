"""Publish what happens to VMs to subscribers; the newest events are kept in memory.

A verb publishes after it has saved; nobody is waited for. Each listener has a queue of its own
that holds `KEPT` events: one that does not keep up loses the oldest, and finds `missed` where
they were, which means: ask for the list anew. Events are no journal; what they tell of is in
the database, and if the process dies they are gone.

Used in the event loop's thread only. Takes no locks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator

from banger.model.names import VmId
from banger.model.vm import EventKind, VmEvent, VmState

KEPT = 1024
"""Events that are kept for those who ask later, and in each listener's queue."""

Wanted = Callable[[VmEvent], bool]


class Listener:
    """One listener's queue."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._events: deque[VmEvent] = deque()
        self._missed: VmEvent | None = None
        self._news = asyncio.Event()

    def put(self, event: VmEvent) -> None:
        """Queue an event, if it is wanted."""
        if not self._wanted(event):
            return
        if len(self._events) == KEPT:
            self._events.popleft()
            lost = 1 if self._missed is None else self._missed.lost and self._missed.lost + 1
            self._missed = VmEvent(kind=EventKind.MISSED, at=event.at, lost=lost)
        self._events.append(event)
        self._news.set()

    def miss(self, at: float) -> None:
        """Tell first that events of an unknown number are not kept."""
        self._missed = VmEvent(kind=EventKind.MISSED, at=at)
        self._news.set()

    async def next(self) -> VmEvent:
        """Return the next event; waits for it."""
        while (event := self.take()) is None:
            await self._news.wait()
        return event

    def take(self) -> VmEvent | None:
        """Return the next event if there is one now."""
        event, self._missed = self._missed, None
        if event is None and self._events:
            event = self._events.popleft()
        if not self._events:
            self._news.clear()
        return event

    async def wait(self, timeout_s: float) -> bool:
        """Return whether there was news within the time; forget it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        had_news = self._news.is_set()
        self._events.clear()
        self._news.clear()
        return had_news


class Events:
    """Everybody who listens, and the newest events."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._listeners: set[Listener] = set()
        self._kept: deque[VmEvent] = deque(maxlen=KEPT)
        self.complete_since = now()
        """Every later event is kept."""

    @contextlib.contextmanager
    def listening(
        self, vm_id: VmId | None = None, *, wanted: Wanted | None = None, since: float | None = None
    ) -> Iterator[Listener]:
        """Listen for a block: to what happens to one VM, or to all, or to what is `wanted`.

        `since`: with the kept events from then on (seconds of the Unix epoch); `missed` comes
        first if not all of them are kept.
        """
        listener = Listener(wanted or (lambda event: vm_id in (None, event.vm_id)))
        if since is not None:
            for event in self._kept:
                if event.at >= since:
                    listener.put(event)
            if since < self.complete_since:
                listener.miss(self.complete_since)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def publish(
        self,
        kind: EventKind,
        vm_id: VmId,
        name: str,
        *,
        state: VmState | None = None,
        text: str | None = None,
    ) -> None:
        """Tell everybody who listens. The engine's own VMs, which become templates, are no news."""
        if "/" in name:
            return
        event = VmEvent(kind=kind, at=self._now(), vm_id=vm_id, name=name, state=state, text=text)
        if len(self._kept) == KEPT:
            self.complete_since = self._kept[0].at
        self._kept.append(event)
        for listener in self._listeners:
            listener.put(event)
