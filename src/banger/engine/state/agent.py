"""The connection to a guest's agent: kept while it lasts, opened again after it was lost.

How the agent is reached is the affair of the driver that started the VMM.
"""

from __future__ import annotations

import asyncio

from banger.engine.state.runtime import VmRuntime
from banger.errors import GuestGone
from banger.guest import GuestConnection, connect
from banger.vmm.driver import VmmHandle
from banger.vmm.table import find_driver_kind

AGAIN_S = 0.01
"""Pause before a new connection."""


async def reach_agent(
    runtime: VmRuntime, handle: VmmHandle, *, deadline_s: float
) -> GuestConnection:
    """Return the connection to the agent of a VM that has a VMM.

    Raises:
        GuestGone: the agent does not answer.
    """
    async with runtime.connecting:
        if runtime.connection is None or runtime.connection.closed:
            runtime.connection = await connect_agent(handle, deadline_s=deadline_s)
        return runtime.connection


async def connect_agent(handle: VmmHandle, *, deadline_s: float) -> GuestConnection:
    """Return a new connection to an agent, which may still have to boot.

    One that is closed before the agent has answered is made anew: some VMMs close the first after
    a restore. A VMM that has ended takes no other.

    Raises:
        GuestGone: the VMM ended.
        DeadlineExceeded: no answer in time.
    """
    kind = find_driver_kind(handle.driver)
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        sock = await kind.connect_agent(handle, deadline_s=end - loop.time())
        try:
            return await connect(sock, deadline_s=end - loop.time())
        except GuestGone:
            await asyncio.sleep(AGAIN_S)
