"""Publish ports of a VM on the host: choose endpoints, and save them as rows.

The rows are what counts: a running VM's attendant opens them, and so does the next daemon's. If
the process dies between the row and the socket, nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from sqlite3 import Connection

from banger import store
from banger.api.requests import PortSpec
from banger.engine.state.engine import Engine
from banger.errors import BangerError, InvalidRequest, PortNotPermitted, PortTaken
from banger.forwards import Endpoint, Forward, open_listener
from banger.forwards.plan import HIGH_STEP, PORTS
from banger.host.listeners import describe_listener
from banger.model.names import VmId

OF_VMS = ip_network("127.77.0.0/16")
"""The addresses that VMs own; a VM's ports are published on no other VM's."""


async def choose_forwards(
    engine: Engine, specs: Iterable[PortSpec], *, own: str | None = None
) -> list[Forward]:
    """Return where ports are to be published: at endpoints that are free at this moment.

    `own`: the address of the VM, if the VM exists already.

    Raises:
        InvalidRequest: an address or a number is not possible.
        PortTaken, PortNotPermitted: an endpoint cannot be had.
    """
    chosen: list[Forward] = []
    publishers = await engine.database.read(store.load_publishers)
    for spec in specs:
        address = parse_address(spec, own=own)
        host = await asyncio.to_thread(_choose, spec, address, publishers, own)
        if host in [forward.host for forward in chosen]:
            raise InvalidRequest(f"{host} is asked for twice.")
        chosen.append(Forward(host, spec.guest_port))
    return chosen


def parse_address(spec: PortSpec, *, own: str | None) -> str:
    """Check a port to publish; return the address of the host. Pure.

    Raises:
        InvalidRequest: the address or a number is not possible.
    """
    for port in (spec.guest_port, spec.host_port):
        if port is not None and port not in PORTS:
            raise InvalidRequest(f"{port} is not a port; ports are 1 to {PORTS[-1]}.")
    try:
        address = ip_address(spec.host_address)
    except ValueError as error:
        raise InvalidRequest(f"{spec.host_address!r} is not an IP address.") from error
    if address in OF_VMS and str(address) != own:
        raise InvalidRequest(f"{address} is another VM's: no port can be published there.")
    return str(address)


def _choose(
    spec: PortSpec, address: str, publishers: Mapping[str, str], own: str | None
) -> Endpoint:
    """Return the first free endpoint for a port, or raise why the first choice is not free."""
    problem: BangerError | None = None
    for port in _candidates(spec):
        host = Endpoint(address, port)
        try:
            _require_free(host, publishers, own)
        except (PortTaken, PortNotPermitted) as error:
            problem = problem or error
        else:
            return host
    assert problem is not None
    raise problem


def _candidates(spec: PortSpec) -> Iterator[int]:
    if spec.host_port is not None:
        yield spec.host_port
    else:
        yield from range(spec.guest_port, PORTS.stop, HIGH_STEP)


def _require_free(host: Endpoint, publishers: Mapping[str, str], own: str | None) -> None:
    owner = publishers.get(f"tcp:{host}")
    if owner is not None:
        raise store.port_published(f"tcp:{host}", owner)
    try:
        open_listener(host).close()
    except PortTaken as error:
        if host.address != own:  # there a listener of the guest may appear, which gives way
            raise name_user(host, error) from None


def name_user(host: Endpoint, problem: BangerError) -> BangerError:
    """Return the error with the process that listens at an endpoint, where that can be seen."""
    user = describe_listener(host.address, host.port) if isinstance(problem, PortTaken) else None
    if user is None:
        return problem
    return PortTaken(f"{user} listens at {host} on this host.", retryable=True)


def save_forwards(connection: Connection, vm_id: VmId, forwards: Iterable[Forward]) -> None:
    """Save ports as a VM's, in the caller's transaction.

    Raises:
        PortTaken: an endpoint is published already.
    """
    for forward in forwards:
        guest = f"tcp:{forward.guest_port}"
        store.publish_port(connection, vm_id, host=f"tcp:{forward.host}", guest=guest)


async def load_forwards(engine: Engine, vm_id: VmId) -> list[Forward]:
    """Return the ports that are published of a VM."""
    rows = await engine.database.read(store.load_published, vm_id)
    return [_parse_row(host, guest) for host, guest in rows.items()]


def _parse_row(host: str, guest: str) -> Forward:
    address, _, port = host.removeprefix("tcp:").rpartition(":")
    endpoint = Endpoint(address.strip("[]"), int(port))
    return Forward(endpoint, int(guest.removeprefix("tcp:")))
