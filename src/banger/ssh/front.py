"""The front's life: accept connections, serve them, end when idle or with the daemon.

Owns the connections' sockets. The listening socket is the daemon's, too: whoever connects while
this process ends waits there for the next front.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator

import asyncssh

from banger.api.ssh import GREETING_MAX, OK, format_refusal, parse_greeting
from banger.errors import BangerError, Denied, InvalidRequest
from banger.ssh.guest import Guest, find_guest
from banger.ssh.server import serve_connection

IDLE_S = 600.0
"""Without a connection, after which the front ends; starting one takes a second."""
LOOK_EVERY_S = 30.0
GREETING_S = 10.0
"""For a client's greeting, which it sends as soon as it is connected."""
RETRY_S = 0.5
FAREWELL_S = 2.0
"""Time for clients to get the reason of the end."""
STOPPED = "banger's daemon has ended"

log = logging.getLogger(__name__)


class Front:
    """The connections of one front. `daemon`: the path of the daemon's socket."""

    def __init__(self, daemon: str, key: asyncssh.SSHKey, *, owner_uid: int) -> None:
        self._daemon = daemon
        self._key = key
        self._owner_uid = owner_uid
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket, ending: asyncio.Event) -> None:
        """Serve until `ending` is set or there was no connection for `IDLE_S`."""
        listener.setblocking(False)
        ender = asyncio.create_task(ending.wait())
        try:
            async for sock in self._accepted(listener, ender):
                task = asyncio.create_task(self._serve(sock))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            ender.cancel()
            await self._end_all()

    async def _accepted(
        self, listener: socket.socket, ender: asyncio.Task[bool]
    ) -> AsyncIterator[socket.socket]:
        """Yield connections until the front is to end."""
        loop = asyncio.get_running_loop()
        used_at = loop.time()
        accepting = asyncio.create_task(_accept(listener))
        try:
            while not ender.done() and (self._tasks or loop.time() - used_at < IDLE_S):
                await asyncio.wait(
                    {accepting, ender}, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                )
                if accepting.done():
                    yield accepting.result()
                    accepting = asyncio.create_task(_accept(listener))
                if self._tasks:
                    used_at = loop.time()
        finally:
            accepting.cancel()

    async def _serve(self, sock: socket.socket) -> None:
        """Serve one connection to its end."""
        with contextlib.closing(sock):
            guest = await self._greet(sock)
            if guest is None:
                return
            try:
                connection = await serve_connection(sock, guest, self._key)
            except (OSError, asyncssh.Error) as error:
                log.info("a connection to %s did not begin: %s", guest.name, error)
                return
            self._connections.add(connection)
            try:
                await connection.wait_closed()
            finally:
                self._connections.discard(connection)

    async def _greet(self, sock: socket.socket) -> Guest | None:
        """Return the VM that a client wants, once the client knows that it is served."""
        loop = asyncio.get_running_loop()
        try:
            require_owner(sock, self._owner_uid)
            async with asyncio.timeout(GREETING_S):
                line = await _read_line(sock)
            guest = await find_guest(self._daemon, parse_greeting(line))
            await loop.sock_sendall(sock, OK)
        except BangerError as error:
            with contextlib.suppress(OSError):
                await loop.sock_sendall(sock, format_refusal(error))
            return None
        except OSError:  # TimeoutError is one
            return None
        return guest

    async def _end_all(self) -> None:
        """Tell every client of the end, and close what is open."""
        for connection in self._connections:
            connection.disconnect(asyncssh.DISC_BY_APPLICATION, STOPPED)
        tasks = set(self._tasks)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=FAREWELL_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _accept(listener: socket.socket) -> socket.socket:
    """Return the next connection; wait while the host has no descriptor for it."""
    while True:
        try:
            sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as error:
            log.warning("no connection can be accepted: %s", error)
            await asyncio.sleep(RETRY_S)
        else:
            return sock


async def _read_line(sock: socket.socket) -> bytes:
    """Return the greeting; the client sends nothing more before it is answered.

    Raises:
        InvalidRequest: it is longer, or not ended.
    """
    loop = asyncio.get_running_loop()
    line = b""
    while not line.endswith(b"\n"):
        data = await loop.sock_recv(sock, GREETING_MAX)
        line += data
        if not data or len(line) > GREETING_MAX:
            raise InvalidRequest("The greeting sent to the ssh front is not valid.")
    return line


def require_owner(sock: socket.socket, owner_uid: int) -> None:
    """Check whose process is at the other end (SO_PEERCRED: pid, uid, gid).

    Raises:
        Denied: another user's.
    """
    size = struct.calcsize("3i")
    uid: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1]
    if uid != owner_uid:
        raise Denied("The VMs of another user cannot be reached.")
