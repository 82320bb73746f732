"""The target of a guest's connection, whether it is allowed, and the connection to it.

A name is looked up by the host's resolver when a connection is made to it, and the address that was
judged is the one that is connected to: an answer that changes in between changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address

from banger.model.egress import HOST
from banger.network.egress.policy import SYNTHETIC
from banger.network.user.proxy.denials import Refused
from banger.network.user.proxy.names import Names
from banger.network.user.proxy.own import is_own
from banger.network.user.proxy.policy import Policy

DIAL_S = 30.0
LOOPBACK = IPv4Address("127.0.0.1")


@dataclass(frozen=True)
class Target:
    """Where a connection leads."""

    name: str | None
    """None: to the address itself."""
    address: IPv4Address
    port: int

    @property
    def is_by_name(self) -> bool:
        """Tell whether a name of the internet was connected to."""
        return self.name not in (None, HOST)

    def __str__(self) -> str:
        return f"{self.name or self.address}:{self.port}/tcp"


def find_target(local: tuple[str, int], names: Names) -> Target:
    """Return what the local address of an accepted connection stands for.

    Raises:
        Refused: nothing.
    """
    address, port = IPv4Address(local[0]), local[1]
    if address.is_loopback:
        return Target(HOST, LOOPBACK, port)
    name = names.find_name(address)
    if name is None and address in SYNTHETIC:
        raise Refused(f"{address}:{port}/tcp", "the address stands for no name")
    return Target(name, address, port)


def require_allowed(target: Target, policy: Policy) -> None:
    """Check that a policy allows a target.

    Raises:
        Refused: it does not.
    """
    if target.name == HOST:
        allowed = policy.allows_host(target.port)
    elif target.name is not None:
        allowed = policy.allows_name(target.name, target.port)
    else:
        own = is_own(target.address)
        allowed = policy.allows_address(target.address, target.port, is_own=own)
    if not allowed:
        raise Refused(str(target), "", can_allow=True)


async def dial(target: Target, policy: Policy) -> socket.socket:
    """Connect to a target that is allowed.

    Raises:
        Refused: its name means no address that may be reached.
        OSError, TimeoutError: it cannot be reached.
    """
    addresses = [target.address]
    if target.is_by_name:
        addresses = await _look_up(target, policy)
    error: OSError = ConnectionRefusedError()
    for address in addresses:
        try:
            async with asyncio.timeout(DIAL_S):
                return await _connect(address, target.port)
        except OSError as failed:
            error = failed
    raise error


async def _look_up(target: Target, policy: Policy) -> list[IPv4Address]:
    """Return the addresses of a name that may be reached."""
    loop = asyncio.get_running_loop()
    # With a dot at its end, or the resolver would add the host's own domains.
    found = await loop.getaddrinfo(
        f"{target.name}.", target.port, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    addresses = [IPv4Address(each[4][0]) for each in found]
    open_ones = [address for address in addresses if _is_open(target, address, policy)]
    if not open_ones:
        require_answer(target, addresses[0], policy)
    return open_ones


def require_answer(target: Target, address: IPv4Address, policy: Policy) -> None:
    """Check that a policy lets a target's name mean an address.

    Raises:
        Refused: it does not.
    """
    if not _is_open(target, address, policy):
        private = f"{address}:{target.port}/tcp"
        raise Refused(private, f"{target.name} has this address", can_allow=True)


def _is_open(target: Target, address: IPv4Address, policy: Policy) -> bool:
    return policy.allows_answer(address, target.port, is_own=is_own(address))


async def _connect(address: IPv4Address, port: int) -> socket.socket:
    with contextlib.ExitStack() as on_failure:
        server = on_failure.enter_context(socket.socket())
        server.setblocking(False)
        await asyncio.get_running_loop().sock_connect(server, (str(address), port))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        on_failure.pop_all()
    return server
