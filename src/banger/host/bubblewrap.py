"""Read bubblewrap's report of a jail: the pid of the process inside, as the host sees it.

Bubblewrap itself stays outside, as the parent of that process. Reads a pipe; changes nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from msgspec import Struct
from msgspec.json import decode

INFO_DEADLINE_S = 10.0


class _Info(Struct, frozen=True, rename="kebab"):
    child_pid: int


def with_info(command: Sequence[str], descriptor: int) -> list[str]:
    """Return a jail's command that also reports the pid of its process to `descriptor`."""
    return [command[0], "--info-fd", str(descriptor), *command[1:]]


async def read_child_pid(descriptor: int) -> int:
    """Return the reported pid once all writers of the pipe have closed it.

    Raises:
        TimeoutError: they did not in time.
        msgspec.DecodeError: nothing was reported: there is no jail.
    """
    async with asyncio.timeout(INFO_DEADLINE_S):
        return decode(await _read_all(descriptor), type=_Info).child_pid


async def _read_all(descriptor: int) -> bytes:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    with os.fdopen(os.dup(descriptor), "rb") as pipe:
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            return await reader.read()
        finally:
            transport.close()
