"""Ports and sockets that users publish: `port.add`, `port.list`, `port.remove`.

A row is one transaction, and the sockets of a running VM follow the rows, so no lock is taken. If
the process dies after the row, the next daemon opens the socket.
"""

from __future__ import annotations

import asyncio

from banger import store
from banger.api.method import serves
from banger.api.ports import PortAdd, PortRemove, PublishedPort
from banger.api.requests import PortSpec, VmRef
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_vm
from banger.engine.transitions.publishing import (
    choose_forwards,
    load_forwards,
    name_user,
    save_forwards,
)
from banger.errors import BangerError, InvalidRequest, PortNotFound, PortNotPermitted, PortTaken
from banger.forwards import (
    Endpoint,
    Forward,
    GuestPort,
    GuestSocket,
    HostEnd,
    PortForwards,
    SocketPath,
    format_host_end,
    remove_socket_file,
)
from banger.model.vm import VmRecord


@serves("port.add")
async def add_port(engine: Engine, params: PortAdd) -> PublishedPort:
    """Publish a port or a socket of a VM's guest on the host, running or not.

    Raises:
        InvalidRequest: an address, a number or a path is not possible.
        PortTaken: another VM or program has the place; the message names it.
        PortNotPermitted: the host keeps the port for root, or the directory from this user.
    """
    record = await get_vm(engine, params.ref)
    own = await engine.database.read(store.find_address, record.id)
    try:
        (forward,) = await choose_forwards(engine, [params.port], own=own)
    except (PortTaken, PortNotPermitted) as error:
        error.hint = _plan_free_port(record, params.port, error) or error.hint
        raise
    await engine.database.write(save_forwards, record.id, [forward])
    ports = await _open_all(engine, record)
    problem = ports.find_problem(forward.host) if ports else None
    if problem is not None:
        await _remove(engine, record, forward)
        raise await asyncio.to_thread(name_user, forward.host, problem)
    return await _view(record, forward, ports)


def _plan_free_port(record: VmRecord, port: PortSpec, error: BangerError) -> str | None:
    """Return the command that publishes at a free port instead; None where there is none."""
    if port.host_address != "127.0.0.1" or None in (port.host_port, port.guest_port):
        return None
    if error.hint is not None and isinstance(error, PortTaken):  # another VM has it
        return None
    suffix = "/udp" if port.protocol == "udp" else ""
    return f"banger vm port add {record.spec.name} {port.guest_port}{suffix}"


@serves("port.list")
async def list_ports(engine: Engine, params: VmRef) -> list[PublishedPort]:
    """Return what is published of a VM."""
    record = await get_vm(engine, params.ref)
    ports = engine.runtime(record.id).ports
    return [await _view(record, each, ports) for each in await load_forwards(engine, record.id)]


@serves("port.remove")
async def remove_port(engine: Engine, params: PortRemove) -> PublishedPort:
    """Stop publishing a port or a socket; open connections stay.

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
        candidates = ", ".join(_name(each) for each in found)
        raise InvalidRequest(f"{params.port} is ambiguous: {candidates}.")
    await _remove(engine, record, found[0])
    return await _view(record, found[0], None)


def find_forwards(forwards: list[Forward], text: str) -> list[Forward]:
    """Return the forwards that `[ADDRESS:]HOST[:GUEST]`, else `GUEST`, means. Pure.

    Without `/udp` or `/tcp` at its end it may be of either.
    """
    return [each for each in forwards if text in _host_names(each)] or [
        each for each in forwards if text in _guest_names(each)
    ]


def _host_names(forward: Forward) -> set[str]:
    host, guest = forward.host, forward.guest
    if isinstance(host, SocketPath):
        return {host.path, f"{host.path}:{guest}"}
    hosts = (host.socket_name, str(host.port))
    names = {name for each in hosts for name in (each, f"{each}:{guest}")}
    return names | {f"{name}/{host.protocol}" for name in names}


def _guest_names(forward: Forward) -> set[str]:
    guest = forward.guest
    if isinstance(guest, GuestSocket):
        return {guest.path}
    return {str(guest), f"{guest}/{guest.protocol}"}


def _name(forward: Forward) -> str:
    host, guest = forward.host, forward.guest
    if isinstance(host, SocketPath):
        return f"{host}:{guest}"
    return f"{host.socket_name}:{guest}/{host.protocol}"


async def _remove(engine: Engine, record: VmRecord, forward: Forward) -> None:
    host = format_host_end(forward.host)
    await engine.database.write(store.unpublish_port, record.id, host=host)
    await _open_all(engine, record)
    if isinstance(forward.host, SocketPath):
        remove_socket_file(forward.host)  # of a daemon that has died


async def _open_all(engine: Engine, record: VmRecord) -> PortForwards | None:
    """Have the sockets of a VM follow its rows; return None if it does not run."""
    forwards = await load_forwards(engine, record.id)
    ports = engine.runtime(record.id).ports
    if ports is not None:
        ports.publish(forwards)
    return ports


async def _view(record: VmRecord, forward: Forward, ports: PortForwards | None) -> PublishedPort:
    problem = await find_problem(ports, forward.host)
    host, guest = forward.host, forward.guest
    endpoint = host if isinstance(host, Endpoint) else None
    return PublishedPort(
        vm=record.spec.name,
        protocol="unix" if endpoint is None else endpoint.protocol,
        host_address=endpoint and endpoint.address,
        host_port=endpoint and endpoint.port,
        host_path=host.path if isinstance(host, SocketPath) else None,
        guest_port=guest.port if isinstance(guest, GuestPort) else None,
        guest_path=guest.path if isinstance(guest, GuestSocket) else None,
        state="closed" if ports is None else "blocked" if problem else "open",
        notice=problem.message if problem else None,
    )


async def find_problem(ports: PortForwards | None, host: HostEnd) -> BangerError | None:
    """Return why a place of the host leads nowhere, with the name of the program in the way."""
    if ports is None:
        return None
    problem = ports.find_problem(host)
    if problem is None:
        return await ports.find_lack(host)
    return await asyncio.to_thread(name_user, host, problem)
