"""Check what a VM needs of its host, before anything of it is created (hazard H8).

Reads PATH and the routes; changes nothing.
"""

from __future__ import annotations

import asyncio

from banger.engine.state.engine import Engine
from banger.host import setup
from banger.network.table import find_network
from banger.vmm.table import find_driver_kind


async def require_programs(engine: Engine, *, driver: str, network: str) -> None:
    """Check every program that making and running a VM takes, all at once, and the network.

    Raises:
        ToolMissing: names all that are missing, and the command that installs them.
        HostNotReady: the VM is to have a network, and the host has none.
    """
    programs = [*find_driver_kind(driver).list_programs(engine.settings), "mke2fs", "ssh-keygen"]
    chosen = find_network(network)
    if chosen is not None:
        programs += chosen.programs
    await asyncio.to_thread(setup.require_programs, *programs)
    if chosen is not None:
        chosen.require_host()
