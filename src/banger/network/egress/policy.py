"""An egress policy as the egress filter takes it, and the denials that it tells of. Pure.

The formats are those of policy.h and denials.h in native/egress-filter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from banger.model.egress import HOST, Denial, Egress, Profile, Rule
from banger.network.egress.presets import list_rules

if TYPE_CHECKING:  # it has more than the egress proxy needs to import
    from banger.network.port import Interface

PRIVATE = (
    "10.0.0.0/8",
    "100.64.0.0/10",  # shared by a provider's customers
    "169.254.0.0/16",  # link-local, where clouds keep credentials
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",  # benchmarks, and synthetic addresses of proxies
)
"""What the profile `public` denies, besides the host's own addresses. The filter itself denies
0/8, 127/8, multicast and unused ranges, whatever the rules say."""
EVERYTHING = IPv4Network("0.0.0.0/0")
SYNTHETIC = IPv4Network("198.18.0.0/15")
"""For benchmarks of networks (RFC 2544), so no address of the internet: the egress proxy's, for
names."""
NAMESERVER = "127.0.0.53"
"""The egress proxy's, in the namespace of its back end. What else is in 127/8 there stands for the
host's loopback."""
BROADCAST = IPv4Network("255.255.255.255/32")
DHCP, DNS = 67, 53
_PROTOCOLS = {None: 0, "tcp": 6, "udp": 17}
_NAMES = {number: word for word, number in _PROTOCOLS.items()}
_DENIAL = struct.Struct("!QIHBxI")


def render_policy(
    egress: Egress,
    interface: Interface,
    *,
    dns_protocols: tuple[str, ...],
    has_neighbours: bool = False,
) -> bytes:
    """Return the rules for the filter, most important first.

    The addresses of the VM's own network, which the back end takes for the host's loopback, are in
    no network of a rule: only rules for the host open the gateway's. `dns_protocols`: those of
    which the back end sends queries to the host's resolver. It answers DHCP itself.

    `has_neighbours`: they are other VMs' and the host's, which `public` has answered; what the VM
    may begin with the host is not decided here.
    """
    gateway = IPv4Network(interface.gateway)
    rules = [Rule(True, to, DHCP, DHCP, "udp") for to in (BROADCAST, gateway)]
    asked = list_rules(egress)
    rules += [rule for rule in asked if not rule.network and not rule.name]
    if egress.profile is not Profile.NONE:
        rules += _resolver(interface, dns_protocols)
    if not has_neighbours:
        rules.append(Rule(False, _network(interface)))
    if egress.is_by_name:
        rules += _by_name(asked)
    rules += [rule for rule in asked if rule.network]
    if egress.profile is Profile.PUBLIC:
        if has_neighbours:
            rules += [Rule(True, _network(interface)), Rule(True, gateway)]
        rules += [Rule(False, IPv4Network(network)) for network in PRIVATE]
        rules.append(Rule(True, EVERYTHING))
    return b"".join(_render(rule, gateway) for rule in rules)


def parse_denials(
    untrusted_denials: bytes, interface: Interface, *, has_neighbours: bool = False
) -> list[Denial]:
    """Return what the filter says of the flows that it has denied; see `render_policy`."""
    host = "" if has_neighbours else interface.gateway
    whole = len(untrusted_denials) // _DENIAL.size * _DENIAL.size
    return [
        Denial(
            target=_name_target(host, IPv4Address(address), port, protocol),
            times=times,
            last_at=float(last_s),
            is_outside=_is_outside(IPv4Address(address), port, interface, has_neighbours),
        )
        for last_s, address, port, protocol, times in _DENIAL.iter_unpack(untrusted_denials[:whole])
    ]


def name_denial(denial: Denial, names: Mapping[str, str | None]) -> Denial:
    """Return a denial with the name for which its address stands."""
    address, _, rest = denial.target.partition(":")
    name = names.get(address)
    return denial if name is None else denial._replace(target=f"{name}:{rest}" if rest else name)


def _name_target(host: str, address: IPv4Address, port: int, protocol: int) -> str:
    name = HOST if str(address) == host else str(address)
    return f"{name}:{port}/{_NAMES[protocol]}" if port and protocol in _NAMES else name


def _is_outside(
    address: IPv4Address, port: int, interface: Interface, has_neighbours: bool
) -> bool:
    is_gateway = str(address) == interface.gateway
    if has_neighbours:  # their host answers echo requests and queries alone
        return not is_gateway or port in (0, DNS)
    return is_gateway or address not in _network(interface)


def _network(interface: Interface) -> IPv4Network:
    return IPv4Interface(f"{interface.gateway}/{interface.prefix}").network


def _resolver(interface: Interface, dns_protocols: tuple[str, ...]) -> Iterator[Rule]:
    for address in interface.dns:
        for protocol in dns_protocols:
            yield Rule(True, IPv4Network(address), DNS, DNS, protocol)


def _by_name(asked: list[Rule]) -> Iterator[Rule]:
    """Yield rules for the addresses that stand for names; which ones, the egress proxy decides."""
    for port in sorted(
        {port for rule in asked if rule.name and rule.allows for port in rule.ports}
    ):
        yield Rule(True, SYNTHETIC, port, port, "tcp")
    yield Rule(False, SYNTHETIC)


def _render(rule: Rule, gateway: IPv4Network) -> bytes:
    network = rule.network or gateway
    return struct.pack(
        "!BBBBIHH",
        rule.allows,
        _PROTOCOLS[rule.protocol],
        network.prefixlen,
        0,
        int(network.network_address),
        rule.first,
        rule.last,
    )
