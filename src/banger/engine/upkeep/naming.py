"""Serve the names of VMs at the ports of the settings.

Takes no locks and saves nothing. Where nothing can listen it is tried again, and the configuration
file is followed, every `LOOK_EVERY_S`.
"""

from __future__ import annotations

import asyncio
from sqlite3 import Connection

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import correct_record
from banger.errors import VmNotFound, WrongState
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState, is_hidden
from banger.names import Addresses, Guest, open_names

LOOK_EVERY_S = 2.0


async def keep_names(engine: Engine) -> None:
    """Serve names until cancelled."""

    async def find(untrusted_name: str) -> Guest:
        return await find_guest(engine, untrusted_name)

    async def load() -> Addresses:
        return await engine.database.read_kept(_load_addresses)

    async with open_names(find, load) as names:
        engine.names = names
        try:
            while True:
                wanted = engine.settings.names
                await names.http.listen(wanted.http_port)
                await names.socks.listen(wanted.socks_port)
                await names.dns.listen(wanted.dns_port)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            engine.names = None


def _load_addresses(connection: Connection) -> Addresses:
    """Return the address of each VM by its name; the engine's own VMs have none."""
    addresses = store.load_addresses(connection)
    return {
        record.spec.name: (addresses[record.id],)
        for record in store.load_vms(connection)
        if record.id in addresses and not is_hidden(record)
    }


async def find_guest(engine: Engine, untrusted_name: str) -> Guest:
    """Return the guest of the VM with this name or id, in full.

    Raises:
        VmNotFound: there is none.
        WrongState: the VM does not run.
    """
    records = [
        correct_record(engine, record)
        for record in await engine.database.read_kept(store.load_vms)
        if not is_hidden(record)
    ]
    record = _find(records, untrusted_name)
    if record is None:
        raise VmNotFound(f"There is no VM {untrusted_name}.", hint="banger vm list")
    ports = engine.runtime(record.id).ports
    name = record.spec.name
    if ports is None:
        verb = {VmState.STOPPED: "start", VmState.CREATED: "start"}.get(record.state, "show")
        raise WrongState(f"The VM {name} is {record.state}.", hint=f"banger vm {verb} {name}")
    return Guest(name, ports)


def _find(records: list[VmRecord], untrusted_name: str) -> VmRecord | None:
    """A name wins over an id, as in `find_matches`, which takes prefixes besides."""
    by_name = {record.spec.name: record for record in records}
    by_id = {record.id: record for record in records}
    return by_name.get(untrusted_name) or by_id.get(VmId(untrusted_name))
