"""The rules of the bridge's network, as nft takes them. Pure; standard library only.

Two tables of our own, which are replaced as a whole in one transaction, so nothing passes between
an old set of rules and the next. No other table is touched.

- `bridge banger`: a port sends nothing but IPv4 and ARP from the addresses that it was given.
  What a TAP says that was not given any is dropped.
- `ip banger`: guests leave with the host's address; nobody outside begins a connection with one; no
  guest begins one with the host, at whichever of its addresses, except to ask for names.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from banger.network.bridge.addresses import (
    BRIDGE,
    DNS,
    DNS_SOCKETS,
    PREFIX_OF_PORTS,
    Port,
    host_address,
)

REMOVAL = """\
table bridge banger {}
delete table bridge banger
table ip banger {}
delete table ip banger
"""
"""Also fine where there are none."""

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
