"""What happens to VMs, told to whoever listens at that moment.

A verb publishes after it has saved; nobody is waited for. Each listener has a queue of its own
that holds `QUEUE` events: one that does not keep up loses the oldest, and finds `missed` where
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

QUEUE = 256


class Listener:
    """One listener's queue."""

    def __init__(self, vm_id: VmId | None) -> None:
        self._vm_id = vm_id
        self._events: deque[VmEvent] = deque()
        self._missed: VmEvent | None = None
        self._news = asyncio.Event()

    def put(self, event: VmEvent) -> None:
        """Queue an event, if it is about what is listened for."""
        if self._vm_id not in (None, event.vm_id):
            return
        if len(self._events) == QUEUE:
            self._events.popleft()
            self._missed = VmEvent(kind=EventKind.MISSED, at=event.at)
        self._events.append(event)
        self._news.set()

    async def next(self) -> VmEvent:
        """Return the next event; waits for it."""
        await self._news.wait()
        if self._missed is not None:
            missed, self._missed = self._missed, None
            return missed
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
    """Everybody who listens."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._listeners: set[Listener] = set()

    @contextlib.contextmanager
    def listening(self, vm_id: VmId | None = None) -> Iterator[Listener]:
        """Listen for a block: to what happens to one VM, or to all."""
        listener = Listener(vm_id)
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
        for listener in self._listeners:
            listener.put(event)
