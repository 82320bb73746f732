"""The ssh front's listening socket, and its process while a client needs it.

The daemon listens at `layout.ssh_socket` and waits for a connection without accepting it. Then it
starts a front (`python -m banger.ssh`), which inherits the socket, accepts, and serves until it is
idle; after its end the daemon waits again. So no connection is lost between the two, and neither
this process nor the command line imports what speaks ssh.

Owns the socket's file, and the front as a child: a socket that is held open here tells it that the
daemon lives. If the daemon dies, the front ends its sessions and itself; the file stays, and the
next daemon removes it. A front that fails leaves its log; waiting clients get an error, and
the next connection starts another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from banger.api.ssh import format_refusal
from banger.daemon.fronts.unix.server import bound_socket
from banger.errors import BangerError, HostFailed
from banger.host.files import ensure_private_dir
from banger.host.identity import ProcessIdentity, spawn_identified, wait_gone
from banger.layout import Layout

log = logging.getLogger(__name__)

PASSED_ON = ("XDG_", "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS")
"""Prefixes of environment variables by which the front finds itself and its files."""
END_S = 3.0
"""For a front to tell its clients of the end."""
LOOK_EVERY_S = 1.0


@contextlib.asynccontextmanager
async def ssh_fronts(layout: Layout) -> AsyncIterator[None]:
    """Serve ssh clients during a block. The daemon's lock must be held."""
    task = asyncio.create_task(_listen(layout))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _listen(layout: Layout) -> None:
    """Listen, and listen anew when the socket's file was removed, as by a logout."""
    while True:
        try:
            _remove_older(layout.ssh_socket)
            with bound_socket(layout.ssh_socket) as listener:
                serving = asyncio.create_task(_serve(listener, layout))
                try:
                    await _wait_removed(layout.ssh_socket)
                finally:
                    serving.cancel()
                    await asyncio.gather(serving, return_exceptions=True)
        except (OSError, BangerError) as error:
            log.warning("cannot listen for ssh: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)


def _remove_older(path: Path) -> None:
    """Remove the file of a daemon that has died, though its front may not have ended yet."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


async def _wait_removed(path: Path) -> None:
    while os.path.lexists(path):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(LOOK_EVERY_S)


async def _serve(listener: socket.socket, layout: Layout) -> None:
    """Have a front run whenever a connection waits."""
    while True:
        await _connection_waits(listener)
        try:
            status = await _run_front(listener, layout)
        except (OSError, BangerError) as error:
            log.warning("no ssh front could be started: %s", error)
            status = None
        if status != 0:
            log.warning("the ssh front ended, status=%s; see %s", status, layout.ssh_output)
            refuse_waiting(listener, layout)


async def _connection_waits(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    waits: asyncio.Future[None] = loop.create_future()
    loop.add_reader(listener, lambda: None if waits.done() else waits.set_result(None))
    try:
        await waits
    finally:
        loop.remove_reader(listener)


async def _run_front(listener: socket.socket, layout: Layout) -> int | None:
    """Return the exit status of a front; None if it is not known."""
    ensure_private_dir(layout.ssh_output.parent)
    told, teller = socket.socketpair()
    with teller:
        with told:
            identity = _spawn(listener, told, layout)
        if identity is None:
            return None
        log.info("ssh front pid=%d", identity.pid)
        return await _ended(identity, teller)


def _spawn(listener: socket.socket, told: socket.socket, layout: Layout) -> ProcessIdentity | None:
    fds = (listener.fileno(), told.fileno())
    numbers = ["--listener", str(fds[0]), "--daemon", str(fds[1])]
    return spawn_identified(
        # -P: never import from the current directory.
        [sys.executable, "-P", "-m", "banger.ssh", *numbers],
        log_file=layout.ssh_output,
        pass_fds=fds,
        env={name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)},
    )


async def _ended(identity: ProcessIdentity, teller: socket.socket) -> int | None:
    """Wait for the front's end; when cancelled, have it end, and give it time to."""
    try:
        return await wait_gone(identity)
    except asyncio.CancelledError:
        teller.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await wait_gone(identity)
        raise


def refuse_waiting(listener: socket.socket, layout: Layout) -> None:
    """Tell every client that waits to be accepted that no front serves it."""
    answer = format_refusal(
        HostFailed(f"The ssh front has failed; its log is {layout.ssh_output}.", retryable=True)
    )
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.setblocking(False)
                sock.sendall(answer)
