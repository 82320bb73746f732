"""Keep a running VM's ports on the host, as an attendant.

Follows the guest's listening sockets, which the agent looks at once a second, and has each appear
at the VM's address (`banger.forwards`); has the ports open that the user published. The engine's
own VMs have no address and so no ports: `became` starts this again when one is claimed. Takes no
locks and saves nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from banger import guest, store
from banger.engine.state.agent import reach_agent
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import RECONNECT_DEADLINE_S, insist
from banger.engine.transitions.publishing import load_forwards
from banger.errors import BangerError
from banger.forwards import PortForwards
from banger.guest import GuestConnection
from banger.model.names import VmId
from banger.vmm.driver import VmmHandle

FIRST_LOOK_S = 0.3
"""Before the agent looks for the first time: an emulated guest translates the code for it when it
is first run, and the first command of a clone shall not wait behind that."""
AGAIN_S = 1.0
"""Before the agent is asked again after its connection was lost."""

log = logging.getLogger(__name__)


async def attend_ports(engine: Engine, vm_id: VmId, vmm: VmmHandle) -> None:
    """Keep the ports of a VM with an address until cancelled."""
    address = await insist(lambda: engine.database.read(store.find_address, vm_id))
    if address is None:
        return
    runtime = engine.runtime(vm_id)

    async def connect() -> GuestConnection:
        return await reach_agent(runtime, vmm, deadline_s=RECONNECT_DEADLINE_S)

    async with PortForwards(address, connect) as ports:
        runtime.ports = ports
        try:
            ports.publish(await insist(lambda: load_forwards(engine, vm_id)))
            await _follow(ports, connect, vm_id)
        finally:
            runtime.ports = None


async def _follow(
    ports: PortForwards, connect: Callable[[], Awaitable[GuestConnection]], vm_id: VmId
) -> None:
    """Pass on what the guest listens on, for ever; an agent that is lost is asked again."""
    await asyncio.sleep(FIRST_LOOK_S)
    while True:
        try:
            changes = guest.watch_listeners(await connect())
            async with contextlib.aclosing(changes):
                async for listeners in changes:
                    ports.mirror(listeners)
        except BangerError as error:
            log.debug("the ports of %s are not known: %s", vm_id, error.message)
        await asyncio.sleep(AGAIN_S)
