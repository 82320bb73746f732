"""The network back end of a VM: started before its VMM, which gets one end, and ended after it."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import msgspec

from banger import secrets, store
from banger.engine.state.machine import Machine
from banger.engine.steps.actor import Actor
from banger.engine.steps.handles import ended_unless_saved
from banger.errors import VmmFailed
from banger.model.egress import Denial, Egress
from banger.model.secrets import BoundSecret, allow_hosts, list_names
from banger.network.port import NetworkHandle
from banger.network.table import find_network
from banger.plan.steps import EndNetwork, StartNetwork, Step


async def _start_network(machine: Machine, _: StartNetwork) -> None:
    chosen = find_network(machine.record.spec.shape.network)
    assert chosen is not None, "its plan would have no such step"
    number, database = 0, machine.engine.database
    if chosen.addresses:
        number = await database.write(store.allocate_guest_address, machine.id, chosen.addresses)
    log_file = machine.engine.layout.vm_network_log(machine.id)
    bound = await find_bound(machine)
    started = await chosen.start(
        chosen.plan_interface(machine.id, number),
        attachment=machine.kind.attachment,
        egress=_plan_egress(machine, bound),
        log_file=log_file,
        control=machine.engine.layout.vm_egress_socket(machine.id),
    )
    machine.runtime.attachment = started.attachment
    async with ended_unless_saved(started.handle.end):
        payload = msgspec.json.encode(started.handle)
        await database.write(store.save_handle, machine.id, "network", payload)
    machine.network = started.handle
    await send_secrets(machine, bound)


async def find_bound(machine: Machine) -> list[BoundSecret]:
    """Return the VM's secrets as they are now; none that was deleted.

    Raises:
        HostFailed: the file of a secret is damaged.
    """
    held = machine.record.spec.secrets
    if not held.placeholders:
        return []
    return await asyncio.to_thread(secrets.find_bound, machine.engine.layout, held)


def _plan_egress(machine: Machine, bound: list[BoundSecret]) -> Egress:
    """Return the VM's policy, which allows the hosts of its secrets behind its own rules."""
    return allow_hosts(machine.record.spec.egress, [each.secret for each in bound])


async def send_secrets(machine: Machine, bound: list[BoundSecret]) -> None:
    """Give a VM's running network, if it has one, its secrets.

    Raises:
        NotSupported: an older banger started the network.
        VmmFailed: the network does not answer.
    """
    if not machine.record.spec.secrets.placeholders or machine.network is None:
        return
    if await machine.network.set_secrets(bound):
        await machine.network.set_certificate(await _make_chain(machine, bound))


async def _make_chain(machine: Machine, bound: list[BoundSecret]) -> bytes:
    """Return a key and its certificate for the hosts of secrets."""
    names = list_names(each.secret for each in bound)
    now = datetime.datetime.fromtimestamp(machine.engine.now(), datetime.UTC).replace(tzinfo=None)
    seed = await asyncio.to_thread(secrets.load_seed, machine.engine.layout)
    authority = machine.record.spec.secrets.authority
    return await asyncio.to_thread(secrets.render_chain, seed, authority, sorted(names), now=now)


async def set_egress(machine: Machine, bound: list[BoundSecret]) -> None:
    """Make a VM's egress rules hold in its running network, if it has one.

    Raises:
        InvalidRequest: its secrets are for hosts at too many ports.
        NotSupported: an older banger started the network.
        VmmFailed: the network does not answer.
    """
    if find_network(machine.record.spec.shape.network) is not None:
        handle = _require_handle(machine)
        await handle.set_egress(handle.plan_interface(machine.id), _plan_egress(machine, bound))


async def set_bandwidth(machine: Machine) -> None:
    """Make a VM's bandwidth hold in its running network, if it has one.

    Raises:
        NotSupported, VmmFailed: as above.
    """
    if find_network(machine.record.spec.shape.network) is not None:
        await _require_handle(machine).set_bandwidth(machine.record.spec.egress.bandwidth_mib)


async def read_denials(machine: Machine) -> list[Denial]:
    """Return what a VM's running network has denied.

    Raises:
        NotSupported, VmmFailed: as above.
    """
    if find_network(machine.record.spec.shape.network) is None:
        return []
    handle = _require_handle(machine)
    return await handle.read_denials(handle.plan_interface(machine.id))


def _require_handle(machine: Machine) -> NetworkHandle:
    if machine.network is None:
        name = machine.record.spec.name
        raise VmmFailed(f"The network of {name} is lost.", hint=f"banger vm restart {name}")
    return machine.network


async def _end_network(machine: Machine, _: Step) -> None:
    """End the back end and forget its handle; fine if there is none."""
    close_attachment(machine)
    if machine.network is not None:
        await machine.network.end()
    await machine.engine.database.write(store.delete_handle, machine.id, "network")
    machine.network = None


def close_attachment(machine: Machine) -> None:
    """Close the network's end for a VMM, which has it by now or was not spawned."""
    attachment, machine.runtime.attachment = machine.runtime.attachment, None
    if attachment is not None:
        attachment.side.close()


ACTORS: tuple[Actor[Any], ...] = (
    Actor(StartNetwork, _start_network, undo=_end_network, stage="network"),
    Actor(EndNetwork, _end_network),
)
