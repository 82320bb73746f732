"""The program behind a user network's filter: the values of its start, and its failures."""

from __future__ import annotations

import asyncio
import resource
import socket
from dataclasses import dataclass
from pathlib import Path

from banger.errors import BangerError, VmmFailed
from banger.host.identity import ProcessIdentity
from banger.host.limits import limit_process
from banger.network.egress.process import abandon, read_tail
from banger.network.port import Interface
from banger.network.user.probe import knock
from banger.network.user.routes import NO_DEFAULT_ROUTE, refuse_without_route

CONNECTIONS_MAX = 4096
"""Of a VM, with its exchanges of datagrams. Each takes a port of the host's, of which all programs
together have 28,232 by default, and descriptors of the back end's."""
OWN_FILES = 64
"""Descriptors that a back end has besides."""
READY_DEADLINE_S = 10.0
SEND_BUFFER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A program that speaks for the host; its sockets are for the filter to hold."""

    process: ProcessIdentity
    monitor: ProcessIdentity | None = None
    """Its jail's, which ends with it."""
    world: socket.socket
    """Frames: as a stream with lengths, or as messages."""
    lifeline: socket.socket | None = None
    """It ends when nobody holds this; None: it ends with `world`."""
    dns_protocols: tuple[str, ...]
    """Of which it sends queries to the host's resolver."""

    def close(self) -> None:
        """Close our ends, which ends it unless the filter has them."""
        self.world.close()
        if self.lifeline is not None:
            self.lifeline.close()


def limit_connections(backend: Backend, *, files: int = 1) -> None:
    """Limit what a back end has open at once; `files`: for each connection.

    One that is too many is refused, or not answered.
    """
    limit_process(backend.process, {resource.RLIMIT_NOFILE: CONNECTIONS_MAX * files + OWN_FILES})


async def await_answer(backend: Backend, interface: Interface, log_file: Path) -> None:
    """Return when the program has answered; it is ended if it does not.

    Raises:
        HostNotReady: the host has no route.
        VmmFailed: it has ended, or does not answer in time.
    """
    try:
        await _knock(backend.world, interface, log_file)
    except BaseException:
        backend.close()
        await asyncio.shield(abandon(backend.monitor or backend.process))
        raise
    backend.world.setblocking(True)


def died_early(log_file: Path) -> BangerError:
    """Return the error for a program that has ended before it answered."""
    said = read_tail(log_file)
    if NO_DEFAULT_ROUTE in said:
        return refuse_without_route(said)
    return VmmFailed("The network back end exited right after its start.", details=said)


async def _knock(world: socket.socket, interface: Interface, log_file: Path) -> None:
    world.setblocking(False)
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            await knock(world, interface)
    except TimeoutError as error:
        raise VmmFailed(
            f"The network back end did not answer within {READY_DEADLINE_S:g} s.",
            details=read_tail(log_file),
        ) from error
    except (EOFError, OSError) as error:
        raise died_early(log_file) from error
