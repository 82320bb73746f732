"""Network work in a thread that a cancellation ends at once.

A thread that waits for a socket cannot be cancelled. So each connection that a thread waits for is
watched by the thread's `Abort`, and `Abort.set` shuts it down, which wakes the thread.
urllib3's `HTTPResponse.shutdown` does that for the body of a response only; a handshake, a proxy's
answer and headers keep a thread waiting as well. Opens no connection itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import ContextVar
from typing import TypeVar

from banger.errors import RegistryUnreachable

T = TypeVar("T")


class Abort:
    """A switch by which the event loop ends what a thread waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self._is_set = False

    def set(self) -> None:
        """End the exchange: its reads return nothing, its next connection is refused."""
        with self._lock:
            self._is_set = True
            if self._watched is not None:
                with contextlib.suppress(OSError):
                    self._watched.shutdown(socket.SHUT_RDWR)

    def watch(self, connected: socket.socket) -> None:
        """Watch this connection instead of the one before.

        Raises:
            RegistryUnreachable: the switch is set.
        """
        with self._lock:
            self.require_unset()
            self._forget()
            # A descriptor of our own: TLS takes the first one away from its socket, and to shut a
            # TLS socket down would pull its state from under the thread that reads.
            self._watched = socket.socket(fileno=os.dup(connected.fileno()))

    def require_unset(self) -> None:
        """Check that the work is still wanted.

        Raises:
            RegistryUnreachable: the switch is set.
        """
        if self._is_set:
            raise RegistryUnreachable("The request was given up.")

    def close(self) -> None:
        """Watch nothing any more."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._watched is not None:
            self._watched.close()
            self._watched = None


_abort: ContextVar[Abort] = ContextVar("abort")
"""Of the thread that works under `in_thread`."""


def watch(connected: socket.socket) -> None:
    """Have the current thread's `Abort` watch a connection; outside of `in_thread` nothing does.

    Raises:
        RegistryUnreachable: the work was given up.
    """
    if (abort := _abort.get(None)) is not None:
        abort.watch(connected)


def require_wanted() -> None:
    """Check that nobody has given up the current thread's work.

    Raises:
        RegistryUnreachable: it was given up.
    """
    if (abort := _abort.get(None)) is not None:
        abort.require_unset()


async def in_thread(threads: Executor | None, work: Callable[[], T]) -> T:
    """Run blocking work and return its result; a cancellation aborts it and waits for its end.

    `threads`: None for the loop's own.
    """
    abort = Abort()

    def run() -> T:
        token = _abort.set(abort)
        try:
            return work()
        finally:
            _abort.reset(token)
            abort.close()

    future = asyncio.get_running_loop().run_in_executor(threads, run)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # How it ends is of no interest, also if this wait is cancelled in its turn.
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        abort.set()
        await asyncio.wait({future})
        raise
