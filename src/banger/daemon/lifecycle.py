"""The lifecycle of a daemon: lock, start, serve, stop.

Starting is all or nothing (hazard B6): lock L1, then the handlers (the engine, with recovery), then
the socket, with the link that says whose it is (`host.runtimedir`). Until the socket exists no
client can connect; if a step fails, the steps before it are undone, and the error goes to the
parent process.

L1, the flock on `layout.daemon_lock`, admits a single daemon (B7). The kernel releases the lock
when the process dies, whatever the cause. A daemon that finds the lock held waits: either the
holder answers on its socket (then the new daemon exits), or the holder is stopping and releases the
lock. The lock file holds the holder's pid and socket, by which clients with another runtime
directory find the daemon (`client.holder`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import json
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from banger.daemon.calls import Handlers
from banger.daemon.dispatch import Dispatcher
from banger.daemon.fronts.unix.server import Server, bound_socket
from banger.daemon.sshfront import ssh_fronts
from banger.engine.state.operations import Operation
from banger.engine.state.running import OperationTable
from banger.engine.state.settings import SettingsInForce
from banger.errors import BangerError, Conflict
from banger.host.files import ensure_private_dir, space_errors
from banger.host.runtimedir import link_state, require_unused
from banger.host.socketfiles import can_connect
from banger.layout import Layout
from banger.version import VERSION

log = logging.getLogger(__name__)

LOCK_DEADLINE_S = 30.0
"""Longer than a stopping daemon's grace period plus recovery."""
LOCK_POLL_S = 0.02


class AlreadyRuns(Conflict):
    """Another daemon of this user answers on the socket."""


async def _count_none() -> int:
    return 0


@dataclass
class Control:
    """State shared with the verbs of `daemon.*` and with the engine."""

    layout: Layout
    settings: SettingsInForce
    started_at: float
    operations: OperationTable = field(default_factory=OperationTable)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to end the daemon."""
    deaf: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the socket no longer accepts connections."""
    count_vms: Callable[[], Awaitable[int]] = _count_none


OpenHandlers = Callable[[Control], AbstractAsyncContextManager[Handlers]]
"""Builds the object graph for the duration of the block."""


async def run_daemon(
    layout: Layout,
    settings: SettingsInForce,
    *,
    open_handlers: OpenHandlers,
    ready: Callable[[], None],
) -> None:
    """Serve until a signal or `daemon.stop`; call `ready` once listening. The lock must be held."""
    control = Control(layout, settings, time.time())
    require_unused(layout)
    async with open_handlers(control) as handlers, _stopping_on_signals(control.stop):
        with contextlib.ExitStack() as sockets:
            listener = sockets.enter_context(_own_socket(layout))
            log.info(
                "serves version=%s pid=%d socket=%s", VERSION, os.getpid(), layout.daemon_socket
            )
            ready()
            dispatcher = Dispatcher(
                handlers,
                operations=control.operations,
                reports=layout.reports,
                before=functools.partial(_refresh_settings, settings),
            )
            server = Server(dispatcher, owner_uid=os.getuid())
            remake = functools.partial(_remake_socket, layout, sockets)
            async with ssh_fronts(layout):
                await server.run(listener, stop=control.stop, deaf=control.deaf, remake=remake)
    log.info("stopped")


def _refresh_settings(settings: SettingsInForce, op: Operation) -> None:
    """Read the configuration file anew; a notice says that a file with a fault is not in force."""
    settings.refresh()
    if settings.fault is not None:
        op.note("notice", f"{settings.fault.message} The previous settings stay in effect.")


@contextlib.contextmanager
def _own_socket(layout: Layout) -> Iterator[socket.socket]:
    """Listen for a block, and say whose the runtime directory is."""
    with bound_socket(layout.daemon_socket) as listener:
        link_state(layout)
        yield listener


def _remake_socket(layout: Layout, sockets: contextlib.ExitStack) -> socket.socket | None:
    """Recreate the socket if its file was removed, as by a logout; else return None."""
    path = layout.daemon_socket
    if os.path.lexists(path):
        return None
    try:
        listener = sockets.enter_context(_own_socket(layout))
    except (OSError, BangerError):
        # The runtime directory cannot be created before the user logs in again.
        return None
    log.warning("recreated %s: it was missing", path)
    return listener


@contextlib.asynccontextmanager
async def _stopping_on_signals(stop: asyncio.Event) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def daemon_lock(layout: Layout, *, deadline_s: float = LOCK_DEADLINE_S) -> Iterator[None]:
    """Hold lock L1.

    Raises:
        AlreadyRuns: the holder answers on our socket.
        Conflict: the holder neither answered nor exited within the deadline.
    """
    ensure_private_dir(layout.daemon_lock.parent)
    fd = os.open(layout.daemon_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for_lock(fd, layout, deadline_s=deadline_s)
        with space_errors(layout.daemon_lock):
            _write_holder(fd, layout)
        yield
    finally:
        os.close(fd)


def _wait_for_lock(fd: int, layout: Layout, *, deadline_s: float) -> None:
    """Wait for the lock; may sleep, since nothing else runs in this process yet."""
    end = time.monotonic() + deadline_s
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        holder = _read_holder(layout.daemon_lock)
        if can_connect(layout.daemon_socket):
            raise AlreadyRuns(
                f"A daemon is already running ({holder}).", hint="banger daemon status"
            )
        if time.monotonic() > end:
            raise Conflict(
                f"Another daemon ({holder}) holds {layout.daemon_lock} and does not answer on "
                f"{layout.daemon_socket}.",
                hint="Is XDG_RUNTIME_DIR the same as where that daemon was started?",
            )
        time.sleep(LOCK_POLL_S)


def _write_holder(fd: int, layout: Layout) -> None:
    note = json.dumps({"pid": os.getpid(), "socket": str(layout.daemon_socket)})
    os.ftruncate(fd, 0)
    os.pwrite(fd, note.encode(), 0)


def _read_holder(lock_file: Path) -> str:
    """Return the holder's description from the lock file, for messages."""
    try:
        content = json.loads(lock_file.read_bytes())
        return f"pid {int(content['pid'])}, socket {content['socket']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "of unknown pid"
