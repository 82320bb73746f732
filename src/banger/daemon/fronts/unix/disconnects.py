"""Detect a client's disconnect at once, even while its connection is not read.

A request that runs for minutes does not read from its connection, and a stream with a full buffer
must not. Yet a disconnect must cancel the request (hazards C5, H2). So one epoll instance watches
all connections for EPOLLHUP only, which a Unix socket reports when the peer has closed the
connection, not when the peer has only shut down sending. The event loop watches the epoll instance.

Owns one descriptor. Touches nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable


class HangupWatch:
    """Calls back once for each watched socket whose peer has closed it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._collect)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` when the peer of `fd` disconnects."""
        # No events are requested: EPOLLHUP and EPOLLERR are always reported.
        self._epoll.register(fd, 0)
        self._callbacks[fd] = callback

    def forget(self, fd: int, callback: Callable[[], None]) -> None:
        """Stop watching for this callback; no effect if the descriptor was closed meanwhile.

        asyncio itself closes a socket after a failed write, so `fd` may by now belong to another
        connection with its own callback.
        """
        if self._callbacks.get(fd) is callback:
            del self._callbacks[fd]
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def close(self) -> None:
        """Close the epoll descriptor."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _collect(self) -> None:
        for fd, _ in self._epoll.poll(0):
            callback = self._callbacks[fd]
            self.forget(fd, callback)
            callback()
