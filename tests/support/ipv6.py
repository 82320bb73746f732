"""Frames of IPv6 made by hand, as a hostile guest makes them."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

TCP, UDP, ICMP6 = 6, 17, 58
UNREACHABLE, ECHO, ECHO_REPLY, SOLICITATION, ADVERTISEMENT = 1, 128, 129, 135, 136
PROHIBITED = 1
EVERYBODY = b"\xff" * 6
KIND = b"\x86\xdd"
_CHECKSUM_AT = {TCP: 16, UDP: 6, ICMP6: 2}


def add_up(data: bytes) -> int:
    """The sum of RFC 1071: 0 over data that has its checksum."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def sum_of_packet(packet: bytes) -> int:
    """The same over what a packet carries, with the addresses before it."""
    return add_up(packet[8:40] + struct.pack("!II", len(packet) - 40, packet[6]) + packet[40:])


def render_frame(
    source: IPv6Address,
    to: IPv6Address,
    protocol: int,
    content: bytes,
    *,
    mac: bytes,
    next_hop: bytes = EVERYBODY,
) -> bytes:
    """Return a frame with all that a receiver checks."""
    head = struct.pack("!IHBB", 6 << 28, len(content), protocol, 255)
    packet = head + source.packed + to.packed + content
    at = 40 + _CHECKSUM_AT.get(protocol, 0)
    if at > 40 and len(packet) >= at + 2:
        packet = packet[:at] + sum_of_packet(packet).to_bytes(2, "big") + packet[at + 2 :]
    return next_hop + mac + KIND + packet


def render_segment(port: int, *, flags: int = 2, own_port: int = 4000, data: bytes = b"") -> bytes:
    """A segment of TCP: 100 is its sequence number, 200 what it acknowledges."""
    return struct.pack("!HHIIBBHHH", own_port, port, 100, 200, 5 << 4, flags, 100, 0, 0) + data


def render_datagram(port: int, data: bytes = b"", *, own_port: int = 4000) -> bytes:
    """A datagram of UDP."""
    return struct.pack("!HHHH", own_port, port, 8 + len(data), 0) + data


def render_solicitation(about: IPv6Address, mac: bytes = b"") -> bytes:
    """Ask whose address this is; `mac` is the asker's."""
    return bytes([SOLICITATION]) + bytes(7) + about.packed + (b"\1\1" + mac if mac else b"")


def render_advertisement(about: IPv6Address, mac: bytes = b"", flags: int = 0x60) -> bytes:
    """Say that this address is there: asked for, and instead of what was known before."""
    head = bytes([ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0])
    return head + about.packed + (b"\2\1" + mac if mac else b"")


def asked_by(address: IPv6Address) -> IPv6Address:
    """Where whoever has an address is asked for it."""
    return IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(address) & 0xFFFFFF)
