"""The daemon's socket and its connections.

`bound_socket` creates the socket: private from the start (hazard G1: in a directory of mode 0700
that we own, under umask 077), and only while the daemon's lock is held, so an existing file is
stale if nobody answers on it.

`Server` owns one task for each connection, and cancels and awaits all tasks on stopping. A
connection from another user is closed before a byte is read. A detached method, and the callbacks
that a connection registered, outlive their connection; when the daemon stops they have `GRACE_S` to
finish, and the next daemon completes the rest from the journal.

If the process dies the socket file stays; the next daemon removes the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path

from banger.daemon.calls import OnDisconnect
from banger.daemon.dispatch import Dispatcher
from banger.daemon.fronts.unix.connection import READ_LIMIT_BYTES, Connection
from banger.daemon.fronts.unix.disconnects import HangupWatch
from banger.errors import BangerError, Cancelled, Denied
from banger.host.files import ensure_private_dir
from banger.host.refusals import require_socket_path
from banger.host.socketfiles import remove_stale_socket

log = logging.getLogger(__name__)

GRACE_S = 10.0
BACKLOG = 128
LOOK_EVERY_S = 1.0


class Server:
    """All connections of the daemon."""

    def __init__(self, dispatcher: Dispatcher, *, owner_uid: int) -> None:
        self._dispatcher = dispatcher
        self._owner_uid = owner_uid
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._cleanups: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def run(
        self,
        listener: socket.socket,
        *,
        stop: asyncio.Event,
        deaf: asyncio.Event,
        remake: Callable[[], socket.socket | None] = lambda: None,
    ) -> None:
        """Serve until `stop` is set; then stop listening, set `deaf`, end every connection.

        `remake` is called every second and may return another listener to serve as well.
        """
        with contextlib.closing(HangupWatch()) as watch:

            def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                self._accept(reader, writer, watch=watch)

            start = functools.partial(asyncio.start_unix_server, accepted, limit=READ_LIMIT_BYTES)
            servers = [await start(sock=listener)]
            try:
                while not await _is_set_within(stop, LOOK_EVERY_S):
                    if (another := remake()) is not None:
                        servers.append(await start(sock=another))
            finally:
                for server in servers:
                    server.close()
                deaf.set()
                await self._end_all()

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, watch: HangupWatch
    ) -> None:
        uid = _peer_uid(writer)
        if uid != self._owner_uid:
            log.warning("refused a connection of uid=%d", uid)
            writer.transport.abort()
            return
        connection = Connection(reader, writer, self._dispatcher)
        if self._stopping:
            connection.say_goodbye()
            writer.close()
            return
        task = asyncio.create_task(self._serve(connection, writer, watch=watch))
        self._connections[task] = connection
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        connection = self._connections.pop(task)
        _log_failure(task)
        if not self._stopping:
            for callback in connection.on_disconnect:
                self._start_cleanup(_run(callback))

    def _start_cleanup(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._cleanups.add(task)
        task.add_done_callback(self._cleanups.discard)
        task.add_done_callback(_log_failure)

    async def _serve(
        self, connection: Connection, writer: asyncio.StreamWriter, *, watch: HangupWatch
    ) -> None:
        async with _watched(connection, writer, watch=watch):
            with contextlib.suppress(Cancelled):
                await connection.serve()

    async def _end_all(self) -> None:
        """Cancel idle connections and cancellable requests; give detached methods `GRACE_S`."""
        self._stopping = True
        for task, connection in self._connections.items():
            connection.closing = True
            connection.say_goodbye()
            if connection.running is None or not connection.running.detached:
                task.cancel()
        tasks = {*self._connections, *self._cleanups}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def _is_set_within(event: asyncio.Event, time_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(time_s):
            await event.wait()
    return event.is_set()


@contextlib.asynccontextmanager
async def _watched(
    connection: Connection, writer: asyncio.StreamWriter, *, watch: HangupWatch
) -> AsyncIterator[None]:
    """Cancel this task when the client disconnects, unless a detached method runs."""
    task = asyncio.current_task()
    assert task is not None
    fd = writer.get_extra_info("socket").fileno()

    def gone() -> None:
        connection.closing = True
        if connection.running is None or not connection.running.detached:
            task.cancel()

    watch.watch(fd, gone)
    try:
        yield
    finally:
        watch.forget(fd, gone)
        writer.close()


async def _run(callback: OnDisconnect) -> None:
    try:
        await callback()
    except BangerError as error:
        log.warning("cleaning up after a client that left failed: %s", error.message)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a connection hit a bug", exc_info=error)


@contextlib.contextmanager
def bound_socket(path: Path) -> Iterator[socket.socket]:
    """Listen on `path` for a block, then remove the file. The daemon's lock must be held.

    Raises:
        Denied: the directory belongs to another user.
        Conflict: the path exists and is not a stale socket.
        HostNotReady: the path is too long for a socket.
    """
    require_socket_path(os.fspath(path))
    _ensure_own_directory(path.parent)
    remove_stale_socket(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        old_mask = os.umask(0o077)
        try:
            listener.bind(str(path))
        finally:
            os.umask(old_mask)
        try:
            listener.listen(BACKLOG)
            listener.setblocking(False)
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _ensure_own_directory(directory: Path) -> None:
    ensure_private_dir(directory)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Denied(
            f"{directory} is not a directory of yours (its owner is uid {found.st_uid}).",
            hint=f"ls -ld {directory}",
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        directory.chmod(0o700)


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    """Return the user ID of the peer process (SO_PEERCRED: pid, uid, gid)."""
    sock = writer.get_extra_info("socket")
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
