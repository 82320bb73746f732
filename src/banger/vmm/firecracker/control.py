"""Control of running Firecrackers, independent of the installed version."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TypeVar

from banger.errors import BangerError
from banger.host.identity import send_signal
from banger.vmm import process
from banger.vmm.conversation import or_death
from banger.vmm.driver import VmmHandle
from banger.vmm.firecracker.guestend import has_reset, wait_halted
from banger.vmm.firecracker.requests import Activity, Request, describe_instance, set_activity

R = TypeVar("R")

FAULT = 1
"""Firecracker's exit status for a fault, and now and then for a guest's reset (seen: 1.12.1)."""


class FirecrackerControl:
    """The protocol of `vmm.driver.VmmControl` for Firecracker."""

    async def pause(self, handle: VmmHandle, *, deadline_s: float) -> None:
        """Stop the guest's processors."""
        await send(handle, set_activity(Activity.PAUSED), deadline_s)

    async def resume(self, handle: VmmHandle, *, deadline_s: float) -> None:
        """Let the guest's processors go on."""
        await send(handle, set_activity(Activity.RESUMED), deadline_s)

    async def adopt(self, handle: VmmHandle, *, deadline_s: float) -> bool:
        """Tell whether this very Firecracker runs and answers."""
        if not process.is_this(handle):
            return False
        try:
            await _ask(handle, describe_instance(), deadline_s)
        except BangerError:
            return False
        return True

    async def wait_gone(self, handle: VmmHandle) -> int | None:
        """Return Firecracker's exit status when it has ended; None if it is unknown.

        One whose guest has halted is ended here. It has ended well then, as one has whose guest
        has reset itself.
        """
        ended = asyncio.ensure_future(process.gone(handle))
        halted = asyncio.ensure_future(wait_halted(handle.console_log or os.devnull))
        try:
            await asyncio.wait((ended, halted), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return await _correct(await ended, handle)
            send_signal(handle.process, signal.SIGKILL)
            await ended
            return 0
        finally:
            for task in (ended, halted):
                task.cancel()
            await asyncio.gather(ended, halted, return_exceptions=True)

    async def quit(self, handle: VmmHandle, *, deadline_s: float) -> bool:
        """End Firecracker: it has written what the guest has flushed, and knows no request to end.

        False if it has not ended within the deadline.
        """
        send_signal(handle.process, signal.SIGKILL)
        try:
            async with asyncio.timeout(deadline_s):
                await process.gone(handle)
        except TimeoutError:
            return False
        return True

    async def kill(self, handle: VmmHandle) -> None:
        """End Firecracker whatever it does."""
        await process.end(handle)


async def send(handle: VmmHandle, request: Request[None], deadline_s: float) -> None:
    """Send a request; return when it is carried out. Firecracker's death ends the wait at once."""
    await or_death(handle, _ask(handle, request, deadline_s))


async def _ask(handle: VmmHandle, request: Request[R], deadline_s: float) -> R:
    from banger.vmm.firecracker.client import ask  # and h11, for those who run a Firecracker

    return await ask(handle.control_socket, request, deadline_s=deadline_s)


async def _correct(status: int | None, handle: VmmHandle) -> int | None:
    console_log = handle.console_log or os.devnull
    if status == FAULT and await asyncio.to_thread(has_reset, console_log):
        return 0
    return status
