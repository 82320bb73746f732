"""The rules of the bridge's network, as nft takes them. Pure; standard library only.

Two tables of our own, which are replaced as a whole in one transaction, so nothing passes between
an old set of rules and the next. No other table is touched.

- `bridge banger`: a port sends nothing but IPv4 and ARP from the addresses that it was given.
  What a TAP says that was not given any is dropped.
- `ip banger`: guests leave with the host's address; nobody outside begins a connection with one; no
  guest begins one with the host, at whichever of its addresses, except to ask for names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network

from banger.network.bridge.addresses import (
    BRIDGE,
    DNS,
    DNS_SOCKETS,
    PREFIX_OF_PORTS,
    Port,
    host_address,
)
from banger.network.bridge.netlink import ACKNOWLEDGE, CREATE, render_attribute, render_message

REMOVAL = """\
table bridge banger {}
delete table bridge banger
table ip banger {}
delete table ip banger
"""
"""Also fine where there are none."""
MOST_ELEMENTS = 1000
"""Of one message, in which their length has 16 bits."""
_SET = b"\x07\0\0\0" + render_attribute(1, b"banger\0") + render_attribute(2, b"ports\0")
"""The family of bridges, the table's name and the set's."""
_ELEMENTS, _ELEMENT, _KEY, _VALUE, _NESTED = 3, 1, 1, 1, 0x8000
_NEW, _DELETE = 0xA0C, 0xA0E
_ELEMENT_OF_PORT = struct.Struct("16s6s2x4s")
_RULES = """\
table bridge banger {{
    set ports {{
        type ifname . ether_addr . ipv4_addr
{elements}    }}
    chain from_ports {{
        type filter hook prerouting priority -300; policy accept;
        iifname != "{prefix}*" accept
        ether type ip iifname . ether saddr . ip saddr @ports accept
        iifname . ether saddr . arp saddr ip @ports jump arp_of_ports
        drop
    }}
    chain arp_of_ports {{
        iifname . arp saddr ether . arp saddr ip @ports accept
    }}
}}
table ip banger {{
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
        iifname != "{bridge}" accept
        ip daddr {host} meta l4proto {{ tcp, udp }} th dport {dns} redirect to :{sockets}
    }}
    chain input {{
        type filter hook input priority -10; policy accept;
        iifname != "{bridge}" accept
        ct state established,related accept
        icmp type echo-request ip daddr {host} accept
        ip daddr {host} meta l4proto {{ tcp, udp }} th dport {sockets} accept
        meta l4proto tcp reject with tcp reset
        reject with icmp type admin-prohibited
    }}
    chain forward {{
        type filter hook forward priority -10; policy accept;
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


def render_rules(network: IPv4Network, ports: Iterable[Port]) -> str:
    """Return the tables for a network that has just these ports."""
    given = ", ".join(f'"{port.name}" . {port.mac} . {port.address}' for port in ports)
    elements = f"        elements = {{ {given} }}\n" if given else ""
    return REMOVAL + _RULES.format(
        bridge=BRIDGE,
        prefix=PREFIX_OF_PORTS,
        host=host_address(network),
        network=network,
        dns=DNS,
        sockets=DNS_SOCKETS,
        elements=elements,
    )


def render_ports(ports: Sequence[Port]) -> bytes:
    """Return what has the set of `render_rules` hold just these ports, at least one, from now on.

    A transaction of nfnetlink, which costs a hundredth of the program's start.
    """
    begin, end = (render_message(kind, 0, struct.pack("!BBH", 0, 0, 10)) for kind in (0x10, 0x11))
    messages = [begin, render_message(_DELETE, 0, _SET)]
    for at in range(0, len(ports), MOST_ELEMENTS):
        is_last = at + MOST_ELEMENTS >= len(ports)
        elements = map(_render_element, ports[at : at + MOST_ELEMENTS])
        flags = CREATE | (ACKNOWLEDGE if is_last else 0)
        listed = render_attribute(_ELEMENTS | _NESTED, *elements)
        messages.append(render_message(_NEW, flags, _SET + listed))
    return b"".join((*messages, end))


def _render_element(port: Port) -> bytes:
    mac = bytes.fromhex(port.mac.replace(":", ""))
    value = _ELEMENT_OF_PORT.pack(port.name.encode(), mac, port.address.packed)
    key = render_attribute(_KEY | _NESTED, render_attribute(_VALUE, value))
    return render_attribute(_ELEMENT | _NESTED, key)
