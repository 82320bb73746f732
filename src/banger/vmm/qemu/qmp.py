"""Conversations with QEMU over its control socket.

A connection is opened for each conversation and closed after it: QEMU serves one
client at a time, and an idle daemon with many VMs holds nothing. The library is
the QEMU project's own (`qemu.qmp`); its errors stop here.

What QEMU says is `untrusted_`: it may have been taken over by its guest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from banger.errors import DeadlineExceeded, VmmFailed

if TYPE_CHECKING:
    from qemu.qmp import QMPClient


async def query_status(socket_path: str, *, deadline_s: float) -> str:
    """Return the VMM's run state, such as `running`.

    Raises:
        VmmFailed: it does not answer as QEMU would.
        DeadlineExceeded: it does not answer in time.
    """
    async with _conversation(socket_path, deadline_s=deadline_s) as client:
        untrusted_status = await client.execute("query-status")
        if not isinstance(untrusted_status, dict):
            raise VmmFailed(f"QEMU at {socket_path} answers query-status with nonsense.")
        return str(untrusted_status.get("status", ""))[:40]


async def ask_to_quit(socket_path: str, *, deadline_s: float) -> None:
    """Tell QEMU to end; it flushes its disks first.

    Raises:
        VmmFailed: it cannot be told (it may be gone already).
        DeadlineExceeded: it does not answer in time.
    """
    async with _conversation(socket_path, deadline_s=deadline_s) as client:
        await client.execute("quit")


@contextlib.asynccontextmanager
async def _conversation(socket_path: str, *, deadline_s: float) -> AsyncIterator[QMPClient]:
    from qemu.qmp import QMPClient
    from qemu.qmp.error import QMPError

    client = QMPClient()
    try:
        async with asyncio.timeout(deadline_s):
            try:
                await client.connect(socket_path)
                yield client
            finally:
                # A peer that is gone fails the farewell too; what mattered was said.
                with contextlib.suppress(QMPError, OSError, EOFError):
                    await client.disconnect()
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"QEMU did not answer at {socket_path} within {deadline_s:g} s."
        ) from error
    except (QMPError, OSError, EOFError) as error:
        raise VmmFailed(f"QEMU cannot be talked to at {socket_path}: {error}.") from error
