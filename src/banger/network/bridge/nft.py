"""The rules of the bridge's network, as nft takes them. Pure; standard library only.

Tables of our own, which are replaced as a whole in one transaction, so nothing passes between an
old set of rules and the next. No other table is touched.

- `bridge banger`: a port sends nothing but IPv4 and ARP from the addresses that it was given, and
  IPv6 from the address that is derived from them: to neighbours alone, without further headers, and
  of neighbour discovery what is about itself. What a TAP says that was not given any is dropped.
- `ip banger`: guests leave with the host's address; nobody outside begins a connection with one; no
  guest begins one with the host, at whichever of its addresses, except to ask for names. A guest
  has so many connections at once: the kernel's table of them is the whole host's.
- `ip6 banger`, where the host has IPv6: guests begin nothing with the host either, and nothing is
  forwarded from them or to them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network

from banger.network.bridge.addresses import (
    BRIDGE,
    DNS,
    DNS_SOCKETS,
    NETWORK6,
    PREFIX_OF_PORTS,
    Port,
    address6,
    host_address,
)
from banger.network.bridge.netlink import ACKNOWLEDGE, CREATE, render_attribute, render_message

CONNECTIONS_MAX = 4096
"""Of a guest, with its exchanges of datagrams, at once; TCP's that have ended do not count. Counted
by the MAC address, which no other VM gets: those of a VM that was killed may stay for days."""
MOST_ELEMENTS = 1000
"""Of one message, in which their length has 16 bits."""
_TABLE = b"\x07\0\0\0" + render_attribute(1, b"banger\0")
"""The family of bridges, and the table's name."""
_SET, _SET6 = (_TABLE + render_attribute(2, name) for name in (b"ports\0", b"ports6\0"))
_ELEMENTS, _ELEMENT, _KEY, _VALUE, _NESTED = 3, 1, 1, 1, 0x8000
_NEW, _DELETE = 0xA0C, 0xA0E
_START_OF_ELEMENT = struct.Struct("16s6s2x")
"""The name of a port's device, and its MAC address. Its address comes behind it."""
_RULES = """\
table bridge banger {{
    set ports {{
        type ifname . ether_addr . ipv4_addr
{elements}    }}
    set ports6 {{
        typeof iifname . ether saddr . @nh,64,128
{elements6}    }}
    chain from_ports {{
        type filter hook prerouting priority -300; policy accept;
        iifname != "{prefix}*" accept
        ether type ip iifname . ether saddr . ip saddr @ports accept
        iifname . ether saddr . arp saddr ip @ports jump arp_of_ports
        ether type ip6 iifname . ether saddr . @nh,64,128 @ports6 jump ip6_of_ports
        drop
    }}
    chain arp_of_ports {{
        iifname . arp saddr ether . arp saddr ip @ports accept
    }}
    chain ip6_of_ports {{
        ip6 nexthdr {{ tcp, udp }} ip6 daddr {network6} accept
        ip6 nexthdr != icmpv6 drop
        ip6 daddr {solicited} icmpv6 type nd-neighbor-solicit accept
        ip6 daddr != {network6} drop
        icmpv6 type {{ {errors}, echo-request, echo-reply, nd-neighbor-solicit }} accept
        icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 @ports6 accept
    }}
}}
table ip banger {{
    set connections {{
        type ether_addr
        size 65535
        flags dynamic
    }}
    chain count {{
        add @connections {{ ether saddr ct count over {connections} }} goto refuse
    }}
    chain refuse {{
        meta l4proto tcp reject with tcp reset
        reject with icmp type admin-prohibited
    }}
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
        iifname != "{bridge}" accept
        ip daddr {host} meta l4proto {{ tcp, udp }} th dport {dns} redirect to :{sockets}
    }}
    chain input {{
        type filter hook input priority -10; policy accept;
        iifname != "{bridge}" accept
        ct state established,related accept
        ct state new jump count
        icmp type echo-request ip daddr {host} accept
        ip daddr {host} meta l4proto {{ tcp, udp }} th dport {sockets} accept
        goto refuse
    }}
    chain forward {{
        type filter hook forward priority -10; policy accept;
        iifname "{bridge}" oifname != "{bridge}" ct state new jump count
        oifname != "{bridge}" accept
        iifname "{bridge}" accept
        ct state established,related accept
        drop
    }}
    chain postrouting {{
        type nat hook postrouting priority 100; policy accept;
        ip saddr {network} oifname != "{bridge}" masquerade
    }}
}}
"""
_RULES6 = """\
table ip6 banger {{
    chain input {{
        type filter hook input priority -10; policy accept;
        iifname != "{bridge}" accept
        ct state established,related accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
        icmpv6 type echo-request ip6 daddr {host6} accept
        meta l4proto tcp reject with tcp reset
        reject with icmpv6 type admin-prohibited
    }}
    chain forward {{
        type filter hook forward priority -10; policy accept;
        iifname "{bridge}" oifname "{bridge}" accept
        iifname "{bridge}" drop
        oifname "{bridge}" drop
    }}
}}
"""
"""Guests reach each other at the bridge, so here only where its frames are shown to `ip6`
(br_netfilter)."""
_SOLICITED = "ff02::1:ff00:0/104"
"""Where whoever has an address is asked for it (RFC 4291, 2.7.1)."""
_ERRORS = "destination-unreachable, packet-too-big, time-exceeded, parameter-problem"


def render_rules(network: IPv4Network, ports: Iterable[Port], *, has_ipv6: bool) -> str:
    """Return the tables for a network that has just these ports; `has_ipv6`: the host has it."""
    rules = _RULES + _RULES6 if has_ipv6 else _RULES
    given = [(f'"{port.name}" . {port.mac}', port.address) for port in ports]
    return render_removal(has_ipv6=has_ipv6) + rules.format(
        bridge=BRIDGE,
        prefix=PREFIX_OF_PORTS,
        host=host_address(network),
        host6=address6(host_address(network)),
        network=network,
        network6=NETWORK6,
        solicited=_SOLICITED,
        errors=_ERRORS,
        connections=CONNECTIONS_MAX,
        dns=DNS,
        sockets=DNS_SOCKETS,
        elements=_render_elements(f"{start} . {address}" for start, address in given),
        elements6=_render_elements(f"{start} . {int(address6(at)):#x}" for start, at in given),
    )


def _render_elements(elements: Iterable[str]) -> str:
    listed = ", ".join(elements)
    return f"        elements = {{ {listed} }}\n" if listed else ""


def render_check(rule: str) -> str:
    """Return a rule in a table of its own: whether the kernel takes it can be checked."""
    return f"add table ip banger; add chain ip banger check; add rule ip banger check {rule}\n"


def render_removal(*, has_ipv6: bool) -> str:
    """Return what removes the tables; also fine where there are none."""
    families = ("bridge", "ip", "ip6") if has_ipv6 else ("bridge", "ip")
    return "".join(f"table {each} banger {{}}\ndelete table {each} banger\n" for each in families)


def render_ports(ports: Sequence[Port]) -> bytes:
    """Return what has the sets of `render_rules` hold just these ports, at least one, from now on.

    A transaction of nfnetlink, which costs a hundredth of the program's start.
    """
    begin, end = (render_message(kind, 0, struct.pack("!BBH", 0, 0, 10)) for kind in (0x10, 0x11))
    starts = [
        _START_OF_ELEMENT.pack(port.name.encode(), bytes.fromhex(port.mac.replace(":", "")))
        for port in ports
    ]
    addresses = [port.address for port in ports]
    keys = [start + address.packed for start, address in zip(starts, addresses, strict=True)]
    keys6 = [start + address6(at).packed for start, at in zip(starts, addresses, strict=True)]
    sets = (*_render_set(_SET6, keys6), *_render_set(_SET, keys, last_flags=ACKNOWLEDGE))
    return b"".join((begin, *sets, end))


def _render_set(name: bytes, keys: Sequence[bytes], *, last_flags: int = 0) -> Iterator[bytes]:
    """Yield what has a set hold just these keys; `last_flags` are for the last message."""
    yield render_message(_DELETE, 0, name)
    for at in range(0, len(keys), MOST_ELEMENTS):
        is_last = at + MOST_ELEMENTS >= len(keys)
        elements = map(_render_element, keys[at : at + MOST_ELEMENTS])
        listed = render_attribute(_ELEMENTS | _NESTED, *elements)
        yield render_message(_NEW, CREATE | (last_flags if is_last else 0), name + listed)


def _render_element(value: bytes) -> bytes:
    key = render_attribute(_KEY | _NESTED, render_attribute(_VALUE, value))
    return render_attribute(_ELEMENT | _NESTED, key)
