"""A client's socket, read and written without losing a byte when a wait is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol

from banger.forwards import reset_when_closed

PIECE_BYTES = 256 * 1024
"""Most bytes read at once: a window of a guest's stream."""
LINGER_S = 2.0
"""For a client that still sends to read the answer."""


class Pipe(Protocol):
    """Bytes both ways: a client of this host, or a connection inside a guest."""

    async def read(self) -> bytes:
        """Return the next data, or b"" at the end."""
        ...

    async def write(self, data: bytes) -> bool:
        """Send data; False if the other side takes no more."""
        ...

    async def write_eof(self) -> None:
        """End the direction to the other side."""
        ...


class HostSocket:
    """A `Pipe` to a client of this host. The caller owns the socket, which does not block."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    async def read(self) -> bytes:
        """Return the next data, or b"" at the end. Cancelling it loses nothing."""
        while True:
            try:
                return self.sock.recv(PIECE_BYTES)
            except BlockingIOError:
                await self._wait_readable()

    async def write(self, data: bytes) -> bool:
        """Send data."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)
        return True

    async def write_eof(self) -> None:
        """End the direction to the client."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Have the connection reset when the socket is closed: the client sees no whole answer."""
        reset_when_closed(self.sock)

    async def linger(self) -> None:
        """End the answer, and let the client read it: closing over unread data would reset it."""
        with contextlib.suppress(OSError, TimeoutError):
            await self.write_eof()
            async with asyncio.timeout(LINGER_S):
                while await self.read():
                    pass

    async def _wait_readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.sock, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self.sock)
