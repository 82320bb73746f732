"""Conversations with a VMM, which end at once when the VMM ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

from banger.errors import HostFailed, VmmFailed
from banger.host.files import LIMITS
from banger.vmm.driver import VmmHandle
from banger.vmm.process import describe_end, gone, read_log_tail

LAST_WORDS_S = 1.0
"""For the death of a VMM that has broken off a conversation."""
END_S = 10.0
"""For the death of a VMM that has closed its agent's connection, which it hardly does otherwise."""

T = TypeVar("T")


async def or_death(handle: VmmHandle, talk: Coroutine[object, object, T]) -> T:
    """Await a conversation with a VMM; the VMM's death ends the wait at once.

    Raises:
        VmmFailed: it has ended; the details hold the end of its log.
        HostFailed: it has ended because the host denied it a resource.
    """
    death = asyncio.ensure_future(gone(handle))
    answer = asyncio.ensure_future(talk)
    try:
        await asyncio.wait((death, answer), return_when=asyncio.FIRST_COMPLETED)
        # The VMM's last act may be to close the connection: its death says more.
        if answer.done() and answer.exception() is not None:
            await asyncio.wait((death,), timeout=LAST_WORDS_S)
        if death.done():
            raise _name_end(handle, death.result())
        return await answer
    finally:
        for task in (death, answer):
            task.cancel()
        await asyncio.gather(death, answer, return_exceptions=True)


async def find_end(handle: VmmHandle) -> VmmFailed | HostFailed | None:
    """Return how a VMM has ended that closed the connection to its agent; None: it still runs."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            return _name_end(handle, await gone(handle))
    return None


def _name_end(handle: VmmHandle, status: int | None) -> VmmFailed | HostFailed:
    """Return why a VMM has ended: by itself, or because the host refused it something."""
    log = Path(handle.vmm_log)
    how, said = describe_end(status, log), read_log_tail(log)
    if any(os.strerror(number) in how for number in LIMITS):
        return HostFailed(
            f"The host denies the VMM of VM {handle.vm_id} a resource: it {how}",
            hint="ulimit -a",
            details=said,
        )
    return VmmFailed(f"The VMM of VM {handle.vm_id} {how}", details=said)
