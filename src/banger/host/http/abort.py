"""Network work in a thread, which a cancellation ends at once.

A thread that waits for a socket cannot be cancelled. So the thread's `Abort` watches each
connection that the thread waits for, and `Abort.set` shuts that connection down, which wakes the
thread. urllib3's `HTTPResponse.shutdown` covers only the body of a response; a thread may also wait
for a handshake, a proxy's answer or headers. Opens no connection itself.
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
    """A switch with which the event loop ends a thread's wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self._is_set = False

    def set(self) -> None:
        """End the exchange: its reads return nothing, and its next connection is refused."""
        with self._lock:
            self._is_set = True
            if self._watched is not None:
                with contextlib.suppress(OSError):
                    self._watched.shutdown(socket.SHUT_RDWR)

    def watch(self, connected: socket.socket) -> None:
        """Watch this connection instead of the previous one.

        Raises:
            RegistryUnreachable: the switch is set.
        """
        with self._lock:
            self.require_unset()
            self._forget()
            # A duplicate descriptor: TLS detaches the original from its socket, and shutting a TLS
            # socket down would destroy its state under the reading thread.
            self._watched = socket.socket(fileno=os.dup(connected.fileno()))

    def require_unset(self) -> None:
        """Check that the work is still wanted.

        Raises:
            RegistryUnreachable: the switch is set.
        """
        if self._is_set:
            raise RegistryUnreachable("The request was cancelled.")

    def close(self) -> None:
        """Stop watching."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._watched is not None:
            self._watched.close()
            self._watched = None


_abort: ContextVar[Abort] = ContextVar("abort")
"""The `Abort` of a thread that works under `in_thread`."""


def watch(connected: socket.socket) -> None:
    """Let the current thread's `Abort` watch a connection; do nothing outside of `in_thread`.

    Raises:
        RegistryUnreachable: the work was given up.
    """
    if (abort := _abort.get(None)) is not None:
        abort.watch(connected)


def require_wanted() -> None:
    """Check that the current thread's work was not cancelled.

    Raises:
        RegistryUnreachable: the work was given up.
    """
    if (abort := _abort.get(None)) is not None:
        abort.require_unset()


async def in_thread(threads: Executor | None, work: Callable[[], T]) -> T:
    """Run blocking work and return its result; a cancellation aborts it and waits for its end.

    `threads`: None for the loop's default executor.
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
        # Ignore the outcome, even if this wait is cancelled in turn.
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        abort.set()
        await asyncio.wait({future})
        raise
