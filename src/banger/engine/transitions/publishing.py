"""Publish ports and sockets of a VM on the host: choose places, and save them as rows.

The rows are what counts: a running VM's attendant opens them, and so does the next daemon's. If
the process dies between the row and the socket, nothing is lost.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from sqlite3 import Connection

from banger import store
from banger.api.requests import PortSpec
from banger.engine.state.engine import Engine
from banger.errors import BangerError, InvalidRequest, PortNotPermitted, PortTaken
from banger.forwards import (
    Endpoint,
    Forward,
    GuestEnd,
    GuestPort,
    GuestSocket,
    HostEnd,
    SocketPath,
    close_listener,
    format_guest_end,
    format_host_end,
    open_listener,
    parse_guest_end,
    parse_host_end,
)
from banger.forwards.plan import HIGH_STEP, PORTS
from banger.host.listeners import describe_listener, describe_socket_listener
from banger.layout import SUN_PATH_MAX
from banger.model.names import VmId

OF_VMS = ip_network("127.77.0.0/16")
"""The addresses that VMs own; a VM's ports are published on no other VM's."""


async def choose_forwards(
    engine: Engine, specs: Iterable[PortSpec], *, own: str | None = None
) -> list[Forward]:
    """Return where something is to be published: at places that are free at this moment.

    `own`: the address of the VM, if the VM exists already.

    Raises:
        InvalidRequest: an address, a number or a path is not possible.
        PortTaken, PortNotPermitted: a place cannot be had.
    """
    chosen: list[Forward] = []
    publishers = await engine.database.read(store.load_publishers)
    for spec in specs:
        guest = parse_guest(spec)
        candidates = list_candidates(spec, own=own)
        host = await asyncio.to_thread(_choose, candidates, publishers, own)
        if host in [forward.host for forward in chosen]:
            raise InvalidRequest(f"{host} is requested twice.")
        chosen.append(Forward(host, guest))
    return chosen


def parse_guest(spec: PortSpec) -> GuestEnd:
    """Return the guest's end of what is to be published. Pure.

    Raises:
        InvalidRequest: it names no port and no socket, or both, or one that is not possible.
    """
    if (spec.guest_port is None) == (spec.guest_path is None):
        raise InvalidRequest("Publish either a port or a Unix socket of the guest, not both.")
    if spec.guest_port is not None:
        _require_port(spec.guest_port)
        return GuestPort(spec.guest_port, spec.protocol)
    assert spec.guest_path is not None
    if spec.protocol != "tcp":
        raise InvalidRequest("A Unix socket in the guest cannot be published over UDP.")
    _require_path(spec.guest_path)
    return GuestSocket(spec.guest_path)


def list_candidates(spec: PortSpec, *, own: str | None) -> Iterator[HostEnd]:
    """Return the places of the host where something may be published, best first. Pure.

    Raises:
        InvalidRequest: an address, a number or a path is not possible.
    """
    if spec.host_path is not None:
        if spec.host_port is not None or spec.protocol != "tcp":
            raise InvalidRequest("A Unix socket on the host excludes a host port and UDP.")
        _require_path(spec.host_path)
        return iter([SocketPath(spec.host_path)])
    address = parse_address(spec, own=own)
    if spec.host_port is not None:
        _require_port(spec.host_port)
        return iter([Endpoint(address, spec.host_port, spec.protocol)])
    if spec.guest_port is None:
        raise InvalidRequest("A Unix socket in the guest needs a port or a path on the host.")
    numbers = range(spec.guest_port, PORTS.stop, HIGH_STEP)
    return (Endpoint(address, number, spec.protocol) for number in numbers)


def parse_address(spec: PortSpec, *, own: str | None) -> str:
    """Return the address of the host on which something is published. Pure.

    Raises:
        InvalidRequest: it is no address, or another VM's.
    """
    try:
        address = ip_address(spec.host_address)
    except ValueError as error:
        raise InvalidRequest(f"{spec.host_address!r} is not an IP address.") from error
    if address in OF_VMS and str(address) != own:
        raise InvalidRequest(f"{address} belongs to another VM: no port can be published there.")
    return str(address)


def _require_port(port: int) -> None:
    if port not in PORTS:
        raise InvalidRequest(f"{port} is not a port; ports are 1 to {PORTS[-1]}.")


def _require_path(path: str) -> None:
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise InvalidRequest(f"{path!r:.200} is not the absolute path of a socket.")
    if len(os.fsencode(path)) > SUN_PATH_MAX:
        raise InvalidRequest(
            f"{path:.200} is too long for a socket: the limit is {SUN_PATH_MAX} bytes."
        )


def _choose(
    candidates: Iterable[HostEnd], publishers: Mapping[str, str], own: str | None
) -> HostEnd:
    """Return the first free place, or raise why the first choice is not free."""
    problem: BangerError | None = None
    for host in candidates:
        try:
            _require_free(host, publishers, own)
        except (PortTaken, PortNotPermitted) as error:
            problem = problem or error
        else:
            return host
    assert problem is not None
    raise problem


def _require_free(host: HostEnd, publishers: Mapping[str, str], own: str | None) -> None:
    owner = publishers.get(format_host_end(host))
    if owner is not None:
        raise store.port_published(format_host_end(host), owner)
    try:
        close_listener(open_listener(host), host)
    except PortTaken as error:
        if not _is_mirrors(host, own):
            raise name_user(host, error) from None


def _is_mirrors(host: HostEnd, own: str | None) -> bool:
    """Tell whether a listener of the VM's guest may be what appears there: that gives way."""
    return isinstance(host, Endpoint) and host == Endpoint(own or "", host.port)


def name_user(host: HostEnd, problem: BangerError) -> BangerError:
    """Return the error with the process that listens at a place, where that can be seen."""
    if not isinstance(problem, PortTaken):
        return problem
    if isinstance(host, SocketPath):
        user = describe_socket_listener(host.path)
    else:
        user = describe_listener(host.address, host.port, protocol=host.protocol)
    if user is None:
        return problem
    return PortTaken(f"{user} listens at {host} on this host.", retryable=True)


def save_forwards(connection: Connection, vm_id: VmId, forwards: Iterable[Forward]) -> None:
    """Save what is published as a VM's, in the caller's transaction.

    Raises:
        PortTaken: a place is published already.
    """
    for forward in forwards:
        host, guest = format_host_end(forward.host), format_guest_end(forward.guest)
        store.publish_port(connection, vm_id, host=host, guest=guest)


async def load_forwards(engine: Engine, vm_id: VmId) -> list[Forward]:
    """Return what is published of a VM."""
    rows = await engine.database.read(store.load_published, vm_id)
    return [Forward(parse_host_end(host), parse_guest_end(guest)) for host, guest in rows.items()]
