"""Control of running QEMUs, independent of the installed version."""

from __future__ import annotations

import asyncio
import contextlib

from banger.errors import BangerError
from banger.host.identity import is_alive
from banger.vmm import process
from banger.vmm.conversation import or_death
from banger.vmm.driver import VmmHandle
from banger.vmm.qemu import qmp


class QemuControl:
    """The protocol of `vmm.driver.VmmControl` for QEMU."""

    async def pause(self, handle: VmmHandle, *, deadline_s: float) -> None:
        """Stop the guest's processors."""
        await or_death(handle, qmp.pause(handle.control_socket, deadline_s=deadline_s))

    async def resume(self, handle: VmmHandle, *, deadline_s: float) -> None:
        """Let the guest's processors go on."""
        await or_death(handle, qmp.resume(handle.control_socket, deadline_s=deadline_s))

    async def adopt(self, handle: VmmHandle, *, deadline_s: float) -> bool:
        """Tell whether this very QEMU runs and answers."""
        if not process.is_this(handle):
            return False
        try:
            await qmp.query_status(handle.control_socket, deadline_s=deadline_s)
        except BangerError:
            return False
        return True

    async def wait_gone(self, handle: VmmHandle) -> int | None:
        """Return QEMU's exit status when it has ended; None if it is unknown."""
        return await process.gone(handle)

    async def quit(self, handle: VmmHandle, *, deadline_s: float) -> bool:
        """Ask QEMU to end; False if it has not within the deadline."""
        if not is_alive(handle.process):
            await process.gone(handle)
            return True
        if not process.is_this(handle):
            return False  # the jail has not executed QEMU yet
        try:
            async with asyncio.timeout(deadline_s):
                # It may end in the middle of its answer: what counts is that it ends.
                with contextlib.suppress(BangerError):
                    await qmp.ask_to_quit(handle.control_socket, deadline_s=deadline_s)
                await process.gone(handle)
        except TimeoutError:
            return False
        return True

    async def kill(self, handle: VmmHandle) -> None:
        """End QEMU whatever it does."""
        await process.end(handle)
