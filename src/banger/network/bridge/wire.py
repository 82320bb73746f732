"""What is said to the helper and by it: one message each way on a connection. Pure.

Standard library only. A message has a fixed form, so whatever has another length, verb or value is
none. With the answer to `CLAIM` comes the descriptor of a TAP, with that to `NAMESERVER` two: the
sockets of UDP and TCP to which guests' queries are redirected.
"""

from __future__ import annotations

import enum
import struct
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from banger.network.bridge.addresses import Port, format_mac, is_for_vm
from banger.network.bridge.firewalls import Firewall

SOCKET = "/run/banger-bridge/socket"
VERSION = 3
LONGEST = 64


class Verb(enum.Enum):
    """What can be asked for."""

    DESCRIBE = b"D"
    CLAIM = b"C"
    RELEASE = b"R"
    FIND_FIREWALL = b"F"
    NAMESERVER = b"N"


PORTLESS = {Verb.DESCRIBE, Verb.FIND_FIREWALL, Verb.NAMESERVER}


class Refusal(enum.Enum):
    """Why something was not done."""

    NOT_YOU = b"u"
    """The socket is another user's."""
    NO_REQUEST = b"r"
    TAKEN = b"t"
    """Another TAP has the address."""
    NO_COUNTING = b"c"
    """The kernel lacks what the rules need; there is no bridge."""
    FAILED = b"f"
    """The helper's log says more."""


class Description(NamedTuple):
    """What a helper serves."""

    version: int
    network: IPv4Network


_PORT = struct.Struct("!6s4s")
_DESCRIPTION = struct.Struct("!H4sB")


def render_request(verb: Verb, port: Port | None = None) -> bytes:
    """Return a request; all but `PORTLESS` name a port."""
    if port is None:
        return verb.value
    return verb.value + _PORT.pack(bytes.fromhex(port.mac.replace(":", "")), port.address.packed)


def parse_request(untrusted_message: bytes, network: IPv4Network) -> tuple[Verb, Port | None]:
    """Return what is asked for.

    Raises:
        ValueError: nothing that can be.
    """
    verb = Verb(untrusted_message[:1])
    if verb in PORTLESS:
        if len(untrusted_message) != 1:
            raise ValueError("more than a verb")
        return verb, None
    if len(untrusted_message) != 1 + _PORT.size:
        raise ValueError("not a port")
    mac, packed = _PORT.unpack(untrusted_message[1:])
    port = Port(format_mac(mac), IPv4Address(packed))
    if not is_for_vm(port.address, network):
        raise ValueError("not an address of a VM")
    return verb, port


def render_description(network: IPv4Network) -> bytes:
    """Return the answer to `DESCRIBE`."""
    address = network.network_address.packed
    return b"+" + _DESCRIPTION.pack(VERSION, address, network.prefixlen)


def parse_description(untrusted_answer: bytes) -> Description:
    """Return what a helper says of itself.

    Raises:
        ValueError: it is no description.
    """
    if untrusted_answer[:1] != b"+" or len(untrusted_answer) != 1 + _DESCRIPTION.size:
        raise ValueError("not a description")
    version, address, prefix = _DESCRIPTION.unpack(untrusted_answer[1:])
    return Description(version, IPv4Network((address, prefix)))


def parse_firewall(untrusted_answer: bytes) -> Firewall:
    """Return the answer to `FIND_FIREWALL`, a plus sign and the value.

    Raises:
        ValueError: it is none.
    """
    if untrusted_answer[:1] != DONE:
        raise ValueError("not a firewall")
    return Firewall(untrusted_answer[1:])


DONE = b"+"


def render_refusal(why: Refusal) -> bytes:
    """Return the answer to what was not done."""
    return b"-" + why.value


def find_refusal(untrusted_answer: bytes) -> Refusal | None:
    """Return why something was not done; None: it was, if the answer is one at all.

    Raises:
        ValueError: a refusal of a later release.
    """
    return Refusal(untrusted_answer[1:]) if untrusted_answer[:1] == b"-" else None
