"""Start slirp4netns, whose network takes a frame for each message of a Unix socket.

It binds the socket itself, takes one connection and never another. So the socket's file stands
for some milliseconds in a directory of the VM's that only its user can enter. If we die before we
have connected, the program waits for ever: the next daemon ends it as a leftover, which its
arguments tell, and the file goes with the VM. Once connected it ends with its lifeline.

In its jail (ADR 0076) the program sees no file of the user's and no other process. Whether that
works on this host is tried once for each daemon; where it does not, the program has its own
filter of system calls only, like a VMM without a jail.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from banger.errors import BangerError, HostNotReady, VmmFailed
from banger.host import programs
from banger.host.files import ensure_private_dir, memory_file
from banger.host.identity import ProcessIdentity, is_alive
from banger.network.egress.policy import NAMESERVER
from banger.network.egress.process import abandon, read_tail
from banger.network.port import Interface
from banger.network.user.argv import plan_slirp, plan_slirp_jail
from banger.network.user.backend import (
    READY_DEADLINE_S,
    SEND_BUFFER_BYTES,
    Backend,
    await_answer,
    died_early,
    limit_connections,
)
from banger.network.user.jailed import spawn, spawn_jailed

log = logging.getLogger(__name__)

DIRECTORY, SOCKET = "slirp", "s"
PROGRAM = "slirp4netns"
TRIAL_DEADLINE_S = 10.0
FIRST_PAUSE_S, LAST_PAUSE_S = 0.001, 0.02


async def start_slirp(
    interface: Interface, *, binary: str, log_file: Path, is_private: bool = False
) -> Backend:
    """Start slirp4netns and return it when it has answered.

    `is_private`: in a network namespace of its own, with no way out of it.

    Raises:
        HostNotReady: its jail could not be set up, or is not possible and has to be.
        VmmFailed: it does not start.
    """
    lifeline, ended = socket.socketpair()
    with contextlib.ExitStack() as on_failure:
        on_failure.enter_context(lifeline)
        with (
            ended,
            _directory(log_file.parent) as directory,
            _resolver(is_private=is_private) as resolver,
        ):
            jail = await _plan_jail(binary, directory, *resolver)
            if jail:
                argv = plan_slirp(
                    _shown_as(directory), interface, path=SOCKET, lifeline=ended.fileno()
                )
                inherited = (ended.fileno(), *resolver)
                leader, process = await spawn_jailed([*jail, *argv], inherited, log_file)
            elif is_private:
                raise HostNotReady(
                    "Egress policies by name need bubblewrap, which does not work on this host.",
                    hint="banger doctor",
                )
            else:
                path = os.fspath(directory / SOCKET)
                argv = plan_slirp(binary, interface, path=path, lifeline=ended.fileno())
                leader, process = spawn(argv, (ended.fileno(),), log_file), None
            world = await _connect(directory, leader, log_file)
        backend = Backend(
            process=process or leader,
            monitor=leader if process else None,
            world=world,
            lifeline=lifeline,
            dns_protocols=("udp", "tcp"),
        )
        limit_connections(backend)
        await await_answer(backend, interface, log_file)
        on_failure.pop_all()
    return backend


@contextlib.contextmanager
def _directory(of_vm: Path) -> Iterator[Path]:
    """Make the directory for the socket, and remove it."""
    directory = of_vm / DIRECTORY
    shutil.rmtree(directory, ignore_errors=True)
    ensure_private_dir(directory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _resolver(*, is_private: bool) -> Iterator[tuple[int, ...]]:
    """Open a file that names the egress proxy as the nameserver, for a private network."""
    if not is_private:
        yield ()
        return
    with memory_file(f"nameserver {NAMESERVER}\n".encode()) as number:
        yield (number,)


def _shown_as(directory: Path) -> str:
    """Return a path for the program that names the VM (`vmm.leftovers`)."""
    return os.fspath(directory.with_name(PROGRAM))


async def _plan_jail(binary: str, directory: Path, resolver: int | None = None) -> list[str]:
    """Return what to put before the command; empty: jails do not work here."""
    bwrap = programs.find_tool("bwrap")
    if bwrap is None or not await asyncio.to_thread(_can_jail, bwrap, binary):
        return []
    return plan_slirp_jail(
        bwrap, binary, shown_as=_shown_as(directory), directory=directory, resolver=resolver
    )


@functools.cache
def _can_jail(bwrap: str, binary: str) -> bool:
    """Tell whether the program starts in a jail here."""
    shown_as = f"/{PROGRAM}"
    trial = [*plan_slirp_jail(bwrap, binary, shown_as=shown_as), shown_as, "--version"]
    try:
        programs.run_sync(trial, deadline_s=TRIAL_DEADLINE_S)
    except BangerError as error:
        log.warning("networks have no jail, only a filter of system calls: %s", error.message)
        return False
    return True


async def _connect(directory: Path, leader: ProcessIdentity, log_file: Path) -> socket.socket:
    """Connect once the program listens."""
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            return await _keep_trying(directory, leader, log_file)
    except TimeoutError as error:
        await asyncio.shield(abandon(leader))
        raise VmmFailed(
            f"{PROGRAM} did not listen within {READY_DEADLINE_S:g} s.", details=read_tail(log_file)
        ) from error
    except BaseException:
        await asyncio.shield(abandon(leader))
        raise


async def _keep_trying(directory: Path, leader: ProcessIdentity, log_file: Path) -> socket.socket:
    pause_s = FIRST_PAUSE_S
    while (world := _try_to_connect(directory)) is None:
        if not is_alive(leader):
            raise died_early(log_file)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LAST_PAUSE_S)
    return world


def _try_to_connect(directory: Path) -> socket.socket | None:
    """Return a socket that leads to the program; None: it does not listen yet."""
    world = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        # Not by its own path, which may be longer than an address may be.
        world.connect(f"/proc/self/fd/{number}/{SOCKET}")
    except (FileNotFoundError, ConnectionRefusedError):
        world.close()
        return None
    finally:
        os.close(number)
    world.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return world
