"""Ports that users publish: `port.add`, `port.list`, `port.remove`.

A row is one transaction, and the sockets of a running VM follow the rows, so no lock is taken. If
the process dies after the row, the next daemon opens the socket.
"""

from __future__ import annotations

import asyncio

from banger import store
from banger.api.ports import PortAdd, PortRemove, PublishedPort
from banger.api.requests import VmRef
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_vm
from banger.engine.transitions.publishing import (
    choose_forwards,
    load_forwards,
    name_user,
    save_forwards,
)
from banger.errors import InvalidRequest, PortNotFound
from banger.forwards import Forward, PortForwards
from banger.model.vm import VmRecord


async def add_port(engine: Engine, params: PortAdd) -> PublishedPort:
    """Publish a port of a VM's guest on the host, running or not.

    Raises:
        InvalidRequest: an address or a number is not possible.
        PortTaken: another VM or program has the endpoint; the message names it.
        PortNotPermitted: the host keeps the port for root.
    """
    record = await get_vm(engine, params.ref)
    own = await engine.database.read(store.find_address, record.id)
    (forward,) = await choose_forwards(engine, [params.port], own=own)
    await engine.database.write(save_forwards, record.id, [forward])
    ports = await _open_all(engine, record)
    problem = ports.state_of(forward.host).problem if ports else None
    if problem is not None:
        await _remove(engine, record, forward)
        raise await asyncio.to_thread(name_user, forward.host, problem)
    return await _view(record, forward, ports)


async def list_ports(engine: Engine, params: VmRef) -> list[PublishedPort]:
    """Return the ports that are published of a VM."""
    record = await get_vm(engine, params.ref)
    ports = engine.runtime(record.id).ports
    return [await _view(record, each, ports) for each in await load_forwards(engine, record.id)]


async def remove_port(engine: Engine, params: PortRemove) -> PublishedPort:
    """Publish a port no more; connections that are open go on.

    Raises:
        PortNotFound: the VM has no such port published.
        InvalidRequest: several ports are meant.
    """
    record = await get_vm(engine, params.ref)
    name = record.spec.name
    found = find_forwards(await load_forwards(engine, record.id), params.port)
    if not found:
        raise PortNotFound(
            f"The VM {name} has not published {params.port}.", hint=f"banger vm port list {name}"
        )
    if len(found) > 1:
        candidates = ", ".join(f"{each.host}:{each.guest_port}" for each in found)
        raise InvalidRequest(f"{params.port} may be any of: {candidates}.")
    await _remove(engine, record, found[0])
    return await _view(record, found[0], None)


def find_forwards(forwards: list[Forward], text: str) -> list[Forward]:
    """Return the forwards that `[ADDRESS:]HOST[:GUEST]`, else `GUEST`, means. Pure."""
    by_host = [
        forward
        for forward in forwards
        for host in (str(forward.host), str(forward.host.port))
        if text in (host, f"{host}:{forward.guest_port}")
    ]
    return by_host or [forward for forward in forwards if text == str(forward.guest_port)]


async def _remove(engine: Engine, record: VmRecord, forward: Forward) -> None:
    await engine.database.write(store.unpublish_port, record.id, host=f"tcp:{forward.host}")
    await _open_all(engine, record)


async def _open_all(engine: Engine, record: VmRecord) -> PortForwards | None:
    """Have the sockets of a VM follow its rows; return None if it does not run."""
    forwards = await load_forwards(engine, record.id)
    ports = engine.runtime(record.id).ports
    if ports is not None:
        ports.publish(forwards)
    return ports


async def _view(record: VmRecord, forward: Forward, ports: PortForwards | None) -> PublishedPort:
    problem = None if ports is None else ports.state_of(forward.host).problem
    if problem is not None:
        problem = await asyncio.to_thread(name_user, forward.host, problem)
    return PublishedPort(
        vm=record.spec.name,
        protocol="tcp",
        host_address=forward.host.address,
        host_port=forward.host.port,
        guest_port=forward.guest_port,
        state="closed" if ports is None else "blocked" if problem else "open",
        notice=problem.message if problem else None,
    )
