"""What is answered: the address of `NAME.vm`, and the name of an address. Pure.

An address is one that the host gave to the VM: no guest decides where a name leads. For programs of
the host it is one of 127.77.0.0/16, for guests of a network that VMs share the one in it. A name
has its address as long as the VM exists, running or not. There is no address of IPv6, and that is
an answer too, at once: a client that asks for both waits for neither.

What is not of these zones is refused at once, so that a resolver that asks this server for other
names (systemd-resolved before 258 may, see `docs/adr/0064-names.md`) turns to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

from banger.model.names import CHECK_ADDRESS, CHECK_NAME
from banger.network.dnswire import (
    ANY_CLASS,
    IN,
    Answer,
    Code,
    Name,
    Query,
    Record,
    Type,
    render_name,
)

Addresses = Mapping[str, str]
"""The address of each VM, by the VM's name."""

FORWARD: Name = (b"vm",)
REVERSE: Name = (b"77", b"127", b"in-addr", b"arpa")
"""The zone of the VMs' addresses on the host."""
CHECK: Name = tuple(label.encode() for label in CHECK_NAME.split("."))

TTL_S = 5
"""A VM that is made anew under its name has another address."""
NEGATIVE_TTL_S = 1
"""A VM that is not there may be made at any moment."""

_REFUSED = Answer(Code.REFUSED, is_authoritative=False)
_SOA = render_name((b"localhost",)) * 2 + b"".join(
    number.to_bytes(4, "big") for number in (1, 3600, 600, 86400, NEGATIVE_TTL_S)
)
"""Primary, mailbox; serial, refresh, retry, expire, and how long "no" may be kept (RFC 2308)."""


def plan_reverse(network: IPv4Network) -> Name:
    """Return the zone of the addresses of a network, whose prefix has whole bytes."""
    parts = str(network.network_address).split(".")[: network.prefixlen // 8]
    return (*(part.encode() for part in reversed(parts)), b"in-addr", b"arpa")


def is_ours(name: Name, reverse: Name = REVERSE) -> bool:
    """Tell whether a name is in our zones, so that nobody else is asked for it."""
    return any(_find_zone(name, each) is not None for each in (REVERSE, reverse))


def answer_query(query: Query, addresses: Addresses, reverse: Name = REVERSE) -> Answer:
    """Return the answer to a query; `reverse` is the zone of the addresses."""
    if query.edns_version != 0:
        return Answer(Code.BAD_VERSION)
    zone = _find_zone(query.name, reverse)
    if zone is None or query.class_ not in (IN, ANY_CLASS):
        return _REFUSED
    found = _find_records(query.name, zone, addresses)
    soa = Record(Type.SOA, NEGATIVE_TTL_S, _SOA, owner=zone)
    if found is None:
        return Answer(Code.NAME_ERROR, authority=(soa,))
    matching = tuple(each for each in found if query.type in (each.type, Type.ANY))
    return Answer(Code.NO_ERROR, matching, () if matching else (soa,))


def _find_zone(name: Name, reverse: Name) -> Name | None:
    return next((zone for zone in (FORWARD, reverse) if name[-len(zone) :] == zone), None)


def _find_records(name: Name, zone: Name, addresses: Addresses) -> list[Record] | None:
    """Return what there is of a name in a zone; None: the name does not exist."""
    if name == zone:
        return [Record(Type.SOA, TTL_S, _SOA)]
    if zone != FORWARD:
        return _find_name(name, addresses)
    if name == CHECK:
        return [_address_record(CHECK_ADDRESS)]
    address = addresses.get(name[0].decode("latin-1")) if len(name) == 2 else None
    if address is not None:
        return [_address_record(address)]
    return [] if CHECK[-len(name) :] == name else None


def _address_record(address: str) -> Record:
    return Record(Type.A, TTL_S, IPv4Address(address).packed)


def _find_name(name: Name, addresses: Addresses) -> list[Record] | None:
    """Return the name of the VM whose address is asked for, `4.3.77.127.in-addr.arpa`."""
    wanted = ".".join(label.decode("latin-1") for label in reversed(name[:-2]))
    vm = next((vm for vm, address in addresses.items() if address == wanted), None)
    if vm is not None:
        return [Record(Type.PTR, TTL_S, render_name((vm.encode(), *FORWARD)))]
    is_above_one = any(address.startswith(f"{wanted}.") for address in addresses.values())
    return [] if is_above_one else None
