"""Sockets in guests: connect to them, and listen for the host.

Takes no lock: the length is the user's (hazard C1).
"""

from __future__ import annotations

from ipaddress import ip_address

from banger import guest
from banger.api.requests import VmConnect, VmListen
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm
from banger.engine.verbs.execs import encode_word
from banger.errors import ExecNotFound, GuestRefused, InvalidRequest
from banger.forwards import LOOPBACKS, connect_guest_port

LOCALHOST = "localhost"
NAME_MAX = 253
"""Characters of a host name (RFC 1035)."""
DEADLINE_S = 30.0
"""For the guest to resolve a name, or to reach a Unix socket; a busy emulated guest takes 1 s."""
ADDRESSES_MAX = 8
"""Addresses of one name that are tried."""


async def open_connection(engine: Engine, params: VmConnect) -> guest.GuestTcp:
    """Connect to a port or a Unix socket of a running VM; the caller closes the connection.

    Raises:
        InvalidRequest: neither or both of a port and a path, or one that is not possible.
        WrongState: the VM does not run.
        ExecNoSuchUser: the guest does not know the user.
        GuestRefused: nothing listens there, or the name is not known to the guest.
    """
    if (params.port is None) == (params.path is None):
        raise InvalidRequest("Connect to either a port or the path of a Unix socket.")
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    if params.path is not None:
        path = encode_word(params.path)
        return await guest.connect_unix(connection, path, user=params.user, deadline_s=DEADLINE_S)
    port = params.port
    if port is None or not 0 < port < 65536:
        raise InvalidRequest(f"{port} is not a port; ports are 1 to 65535.")
    hosts = await _find_addresses(connection, params.host)
    return await connect_guest_port(connection, port, hosts=hosts)


async def open_listener(engine: Engine, params: VmListen) -> guest.GuestListener:
    """Listen in a running VM; the caller closes the listener.

    Raises:
        InvalidRequest: both a port and a path, or one that is not possible.
        WrongState: the VM does not run.
        ExecNoSuchUser: the guest does not know the user.
        GuestRefused: something listens there, or the user may not.
    """
    if params.port is not None and params.path is not None:
        raise InvalidRequest("Listen on either a port or the path of a Unix socket.")
    connection = await get_connection(engine, await get_vm(engine, params.ref))
    if params.port is None:
        path = None if params.path is None else encode_word(params.path)
        return await guest.listen_unix(connection, path, user=params.user, deadline_s=DEADLINE_S)
    if not 0 <= params.port < 65536:
        raise InvalidRequest(f"{params.port} is not a port; ports are 0 to 65535.")
    host = _parse_local(params.host or LOCALHOST)
    return await guest.listen_tcp(
        connection, host, params.port, user=params.user, deadline_s=DEADLINE_S
    )


def _parse_local(host: str) -> str:
    if host.lower() == LOCALHOST:
        return LOOPBACKS[0]
    try:
        return str(ip_address(host))
    except ValueError as error:
        raise InvalidRequest(f"{host!r:.80} is not an IP address to listen on.") from error


async def _find_addresses(connection: guest.GuestConnection, host: str) -> tuple[str, ...]:
    if host.lower() in ("", LOCALHOST):
        return LOOPBACKS
    try:
        return (str(ip_address(host)),)
    except ValueError:
        return await _resolve(connection, host)


async def _resolve(connection: guest.GuestConnection, host: str) -> tuple[str, ...]:
    """Return the addresses of a name as the guest's own programs would find them."""
    if len(host) > NAME_MAX or host.startswith("-") or not host.isprintable():
        raise InvalidRequest(f"{host[:NAME_MAX]!r} is not a valid host name.")
    argv = [b"getent", b"ahosts", encode_word(host)]
    try:
        done = await guest.run(connection, argv, deadline_s=DEADLINE_S)
    except ExecNotFound as error:
        raise GuestRefused(f"The guest cannot resolve {host}: it has no getent.") from error
    addresses = parse_addresses(done.untrusted_stdout)
    if not addresses:
        raise GuestRefused(f"The guest cannot resolve {host}.")
    return addresses


def parse_addresses(untrusted_lines: bytes) -> tuple[str, ...]:
    """Return the addresses that `getent ahosts` has printed, each once, in its order. Pure."""
    words = (line.split(b" ", 1)[0] for line in untrusted_lines.splitlines())
    found = dict.fromkeys(filter(None, map(_parse_address, words)))
    return tuple(found)[:ADDRESSES_MAX]


def _parse_address(untrusted_word: bytes) -> str | None:
    try:
        return str(ip_address(untrusted_word.decode("ascii")))
    except ValueError:
        return None
