"""The addresses of the bridge's network, and its ports' names. Pure; standard library only.

The network's first address is the host's, and the guests' gateway. A port is named after its
address, so that the kernel keeps two from having one address (hazard C6).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

BRIDGE = "banger0"
NETWORK = IPv4Network("10.77.0.0/16")
NETWORK6 = IPv6Network("fd62:616e:6765:7200::/64")
"""The IPv6 addresses of the VMs and their host: a unique local network (RFC 4193)."""
ADDRESSES = 255 * 254
"""How many VMs can have one: none ends in .0 or .255, and those of the host's /24 are left out."""
PREFIX_OF_PORTS = "bng-"
DNS, DNS_SOCKETS = 53, 7753
"""Where guests ask the host for names, and where that leads to: a port that needs no privilege."""
LARGEST = 16
"""The shortest prefix length: a port's name has room for two bytes of its address."""


class Port(NamedTuple):
    """What one VM may say that it is."""

    mac: str
    address: IPv4Address

    @property
    def name(self) -> str:
        """The name of its TAP."""
        return f"{PREFIX_OF_PORTS}{int(self.address) & 0xFFFF:04x}"

    def format(self) -> str:
        """Return what `parse_port` reads."""
        return f"{self.mac} {self.address}"


def parse_port(text: str) -> Port:
    """Return the port that `Port.format` wrote.

    Raises:
        ValueError: it is none.
    """
    mac, address = text.split(" ")
    return Port(format_mac(bytes.fromhex(mac.replace(":", ""))), IPv4Address(address))


def format_mac(mac: bytes) -> str:
    """Return the text of a MAC address.

    Raises:
        ValueError: it is none of a VM: not of six bytes, of a group, or a manufacturer's.
    """
    if len(mac) != 6 or mac[0] & 3 != 2:
        raise ValueError("not a locally administered address of one machine")
    return mac.hex(":")


def parse_network(text: str) -> IPv4Network:
    """Return a network that bridges can have.

    Raises:
        ValueError: it is none, or too large or small.
    """
    network = IPv4Network(text)
    if not network.is_private or not LARGEST <= network.prefixlen <= 29:
        raise ValueError(f"not a private network of a prefix length from {LARGEST} to 29")
    return network


def vm_address(number: int) -> IPv4Address:
    """Return the address with this number, less than `ADDRESSES`."""
    third, fourth = divmod(number, 254)
    return NETWORK[256 * (1 + third) + 1 + fourth]


def host_address(network: IPv4Network) -> IPv4Address:
    """Return the host's address in its network."""
    return network[1]


def address6(address: IPv4Address) -> IPv6Address:
    """Return the IPv6 address of whoever has this address: it is in its last 32 bits."""
    return NETWORK6[int(address)]


def is_for_vm(address: IPv4Address, network: IPv4Network) -> bool:
    """Tell whether a VM may have this address."""
    return address in network and network[1] < address < network[-1]
