"""What is answered: the addresses of `NAME.vm`, and the name of an address. Pure.

An address is one that the host gave to the VM: no guest decides where a name leads. For programs of
the host it is one of 127.77.0.0/16, for guests of a network that VMs share the one in it. A name
has its address as long as the VM exists, running or not. Where there is no address of IPv6, as on
the host, that is an answer too, at once: a client that asks for both waits for neither.

What is not of these zones is refused at once, so that a resolver that asks this server for other
names (systemd-resolved before 258 may, see `docs/adr/0064-names.md`) turns to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

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

Addresses = Mapping[str, tuple[str, ...]]
"""The addresses of each VM, by the VM's name."""

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


def plan_reverse(network: IPv4Network | IPv6Network) -> Name:
    """Return the zone of the addresses of a network, whose prefix has whole labels."""
    label_bits = 8 if network.version == 4 else 4
    labels = network.network_address.reverse_pointer.split(".")
    own = labels[(network.max_prefixlen - network.prefixlen) // label_bits :]
    return tuple(label.encode() for label in own)


def is_ours(name: Name, reverse: Sequence[Name]) -> bool:
    """Tell whether a name is in our zones, so that nobody else is asked for it."""
    return _find_zone(name, (REVERSE, *reverse)) is not None


def answer_query(
    query: Query, addresses: Addresses, reverse: Sequence[Name] = (REVERSE,)
) -> Answer:
    """Return the answer to a query; `reverse` are the zones of the addresses."""
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


def _find_zone(name: Name, reverse: Sequence[Name]) -> Name | None:
    return next((zone for zone in (FORWARD, *reverse) if name[-len(zone) :] == zone), None)


def _find_records(name: Name, zone: Name, addresses: Addresses) -> list[Record] | None:
    """Return what there is of a name in a zone; None: the name does not exist."""
    if name == zone:
        return [Record(Type.SOA, TTL_S, _SOA)]
    if zone != FORWARD:
        return _find_name(name, addresses)
    if name == CHECK:
        return [_address_record(CHECK_ADDRESS)]
    found = addresses.get(name[0].decode("latin-1")) if len(name) == 2 else None
    if found is not None:
        return [_address_record(address) for address in found]
    return [] if CHECK[-len(name) :] == name else None


def _address_record(text: str) -> Record:
    address = ip_address(text)
    return Record(Type.A if address.version == 4 else Type.AAAA, TTL_S, address.packed)


def _find_name(name: Name, addresses: Addresses) -> list[Record] | None:
    """Return the name of the VM whose address is asked for, `4.3.77.127.in-addr.arpa`."""
    wanted = b".".join(name).decode("latin-1")
    names = {
        ip_address(address).reverse_pointer: vm
        for vm, found in addresses.items()
        for address in found
    }
    if wanted in names:
        return [Record(Type.PTR, TTL_S, render_name((names[wanted].encode(), *FORWARD)))]
    is_above_one = any(pointer.endswith(f".{wanted}") for pointer in names)
    return [] if is_above_one else None
