"""Find the processes of VMs that are in no record, of every driver and network."""

from __future__ import annotations

import asyncio
import contextlib

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.machine import load_machine
from banger.errors import VmNotFound
from banger.host.identity import ProcessIdentity
from banger.network.table import find_network
from banger.vmm.leftovers import Leftover, find_leftovers
from banger.vmm.table import find_driver_kind
from banger.words import DRIVERS, NETWORKS


def list_process_names() -> list[str]:
    """Return the patterns of all kinds."""
    names = [name for word in DRIVERS for name in find_driver_kind(word).process_names]
    for word in NETWORKS:
        network = find_network(word)
        names += network.process_names if network is not None else ()
    return names


async def find_unrecorded(engine: Engine) -> list[Leftover]:
    """Return every process of a VM that no handle names."""
    recorded: set[ProcessIdentity] = set()
    for record in await engine.database.read(store.load_vms):
        with contextlib.suppress(VmNotFound):  # deleted meanwhile
            recorded |= set((await load_machine(engine, record.id)).processes)
    return await asyncio.to_thread(
        find_leftovers, engine.layout, recorded, programs=list_process_names()
    )
