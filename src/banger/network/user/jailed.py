"""Start a program of a user network in a jail of bubblewrap's; for the daemon."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import DecodeError

from banger.errors import HostNotReady
from banger.host.bubblewrap import read_child_pid, with_info
from banger.host.identity import ProcessIdentity, identify, spawn_identified
from banger.network.egress.process import abandon, read_tail
from banger.network.user.backend import died_early


def spawn(argv: Sequence[str], inherited: tuple[int, ...], log_file: Path) -> ProcessIdentity:
    """Start a program that outlives this one.

    Raises:
        VmmFailed: it has ended already.
    """
    process = spawn_identified(argv, log_file=log_file, pass_fds=inherited)
    if process is None:
        raise died_early(log_file)
    return process


async def spawn_jailed(
    command: Sequence[str], inherited: tuple[int, ...], log_file: Path
) -> tuple[ProcessIdentity, ProcessIdentity]:
    """Start a jail; return its monitor and the process inside.

    Raises:
        HostNotReady: the jail could not be set up.
        VmmFailed: the program has ended already.
    """
    reader, writer = os.pipe()
    try:
        try:
            monitor = spawn(with_info(command, writer), (*inherited, writer), log_file)
        finally:
            os.close(writer)
        try:
            process = await _read_child(reader, log_file)
        except BaseException:
            await asyncio.shield(abandon(monitor))
            raise
    finally:
        os.close(reader)
    return monitor, process


async def _read_child(reader: int, log_file: Path) -> ProcessIdentity:
    try:
        process = identify(await read_child_pid(reader))
    except (TimeoutError, DecodeError) as error:
        raise HostNotReady(
            "The network's jail could not be set up.",
            details=read_tail(log_file),
            hint="banger doctor",
        ) from error
    if process is None:
        raise died_early(log_file)
    return process
