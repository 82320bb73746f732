"""Answer DNS queries of the guests of networks that VMs share.

Takes no locks and saves nothing. Networks of VMs that there are, and whoever has the sockets at
which their guests ask, are looked for every `LOOK_EVERY_S`; until then queries wait there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Hashable
from dataclasses import dataclass
from sqlite3 import Connection

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.runtime import VmRuntime
from banger.errors import BangerError, HostNotReady
from banger.model.vm import VmRecord, is_hidden
from banger.names import Addresses, GuestNameserver
from banger.network.port import Interface, Nameserver, Network
from banger.network.table import find_network
from banger.plan.identity import HOST_NAME

LOOK_EVERY_S = 2.0
HOST = HOST_NAME.removesuffix(".vm")
"""The host's name among those of VMs; a VM of that name has none here."""

log = logging.getLogger(__name__)


@dataclass
class Served:
    """A network whose guests are answered."""

    guests: GuestNameserver
    at: Hashable | None = None
    """Which sockets it has; None: it has none yet."""
    problem: str = ""


async def keep_nameservers(engine: Engine) -> None:
    """Answer guests until cancelled."""
    served: dict[str, Served] = {}
    async with contextlib.AsyncExitStack() as stack:
        while True:
            for word in await engine.database.read_kept(_load_networks):
                network = _find(word)
                if network is None or network.nameserver is None:
                    continue
                if word not in served:
                    guests = _make_nameserver(engine, word, network, network.nameserver)
                    served[word] = Served(await stack.enter_async_context(guests))
                await keep_sockets(served[word], network.nameserver)
            await asyncio.sleep(LOOK_EVERY_S)


def _find(word: str) -> Network | None:
    with contextlib.suppress(HostNotReady):  # a VM of another release
        return find_network(word)
    return None


async def keep_sockets(served: Served, nameserver: Nameserver) -> None:
    """Have the sockets that guests ask now; once they are there, those of the past are closed."""
    at = nameserver.find()
    if at is None or at == served.at:
        return
    try:
        sockets = await nameserver.open()
    except BangerError as error:
        if error.message != served.problem:
            log.warning("guests cannot ask for names: %s", error.message)
        served.problem = error.message
        return
    await served.guests.stop()
    served.guests.serve(*sockets)
    served.at, served.problem = at, ""


def _make_nameserver(
    engine: Engine, word: str, network: Network, nameserver: Nameserver
) -> GuestNameserver:
    def load_interfaces(connection: Connection) -> list[tuple[VmRecord, Interface]]:
        numbers = store.load_guest_addresses(connection)
        return [
            (record, network.plan_interface(record.id, numbers[record.id]))
            for record in store.load_vms(connection)
            if record.id in numbers and not is_hidden(record) and record.spec.shape.network == word
        ]

    async def load() -> Addresses:
        addresses = {
            record.spec.name: list_addresses(interface, engine.runtimes.get(record.id))
            for record, interface in await engine.database.read_kept(load_interfaces)
        }
        return {**addresses, HOST: nameserver.list_addresses()}

    return GuestNameserver(nameserver.networks, load)


def list_addresses(interface: Interface, runtime: VmRuntime | None) -> tuple[str, ...]:
    """Return the addresses of a VM: that of IPv6 only while its guest is known to take it."""
    if interface.address6 is None or runtime is None or not runtime.has_ipv6:
        return (interface.address,)
    return interface.address, interface.address6


def _load_networks(connection: Connection) -> set[str]:
    """Return the networks that VMs are to have."""
    return {record.spec.shape.network for record in store.load_vms(connection)}
