"""Which listening sockets of a guest appear where on the host. Pure.

Every TCP port that a guest listens on appears at its VM's own address under the same number. Where
the host keeps the numbers below 1024 for root, such a port appears 10000 higher, or at the next
such number that the guest does not listen on itself: so what is where depends on the guest's
listeners alone, and not on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from banger.forwards.ends import LOOPBACKS, Endpoint, GuestPort

MIRRORS_MAX = 400
"""Ports of one guest that appear on the host; the agent reports no more sockets (hazard E2)."""
HIGH_STEP = 10000
"""Added to a port below the host's first unprivileged port."""
PORTS = range(1, 65536)


def plan_mirrors(
    listeners: Iterable[tuple[str, int]],
    address: str,
    *,
    first_port: int,
    taken: Iterable[Endpoint] = (),
) -> dict[Endpoint, GuestPort]:
    """Return what appears at the VM's address of a guest's listeners, by guest port.

    `first_port`: the lowest port that an ordinary user of this host may listen on. `taken`:
    endpoints that the user published. A port for which no number is left is left out.
    """
    by_port: dict[int, list[str]] = {}
    for host, port in sorted(listeners, key=lambda pair: (pair[1], pair[0])):
        if port in PORTS:
            by_port.setdefault(port, []).append(host)
    used = {each.port for each in taken if each == Endpoint(address, each.port)}
    used |= {port for port in by_port if port >= first_port}
    mirrors: dict[Endpoint, GuestPort] = {}
    for port in sorted(by_port):
        host_port = port if port >= first_port else _find_high_port(port, first_port, used)
        if host_port is not None and len(mirrors) < MIRRORS_MAX:
            used.add(host_port)
            hosts = plan_guest_hosts(by_port[port])
            mirrors[Endpoint(address, host_port)] = GuestPort(port, hosts=hosts)
    return mirrors


def plan_guest_hosts(listening: Iterable[str]) -> tuple[str, ...]:
    """Return the guest addresses to connect to, best first, for a port's listening addresses.

    An IPv4 address of all stands for 127.0.0.1, an IPv6 address of all for ::1 and then, since
    such a socket usually accepts both families, for 127.0.0.1.
    """
    found: list[str] = []
    for host in listening:
        found += _guest_hosts(host)
    order = {"127.0.0.1": 0, "::1": 1}
    return tuple(sorted(dict.fromkeys(found), key=lambda host: order.get(host, 2)))


def _guest_hosts(untrusted_host: str) -> tuple[str, ...]:
    host = ip_address(untrusted_host)
    if isinstance(host, IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    if not host.is_unspecified:
        return (str(host),)
    return LOOPBACKS[::-1] if host.version == 6 else LOOPBACKS[:1]


def _find_high_port(port: int, first_port: int, used: set[int]) -> int | None:
    candidates = range(port + HIGH_STEP, PORTS.stop, HIGH_STEP)
    return next((n for n in candidates if n >= first_port and n not in used), None)
