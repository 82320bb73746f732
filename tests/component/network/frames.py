"""A guest's side of a user network, without a guest: frames made by hand.

A hostile guest is root in its machine and sends what it likes, so this is what it can
do: an operating system between would only forbid some of it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from banger.network.port import Interface

SYN_ACK = 0x12
BROADCAST = b"\xff" * 6


class Link(Protocol):
    """What a guest's network card is joined to."""

    def send(self, frame: bytes) -> None: ...

    def receive(self, wait_s: float) -> bytes: ...


class StreamLink:
    """The stream that a VMM without a TAP gets."""

    def __init__(self, side: socket.socket) -> None:
        self._side = side

    def send(self, frame: bytes) -> None:
        self._side.settimeout(None)  # not that of whoever waited last
        self._side.sendall(len(frame).to_bytes(4, "big") + frame)

    def receive(self, wait_s: float) -> bytes:
        self._side.settimeout(wait_s)
        return self._read(int.from_bytes(self._read(4), "big"))

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self._side.recv(count - len(data))
            assert chunk, "the network ended"
            data += chunk
        return data


class PacketLink:
    """A network device, by a packet socket."""

    def __init__(self, packets: socket.socket) -> None:
        self._packets = packets

    def send(self, frame: bytes) -> None:
        self._packets.send(frame)

    def receive(self, wait_s: float) -> bytes:
        self._packets.settimeout(wait_s)
        return self._packets.recv(1 << 16)


class TapLink:
    """A TAP's queue, with its headers: what a VMM has open."""

    HEADER = bytes(10)

    def __init__(self, tap: int) -> None:
        self._tap = tap

    def send(self, frame: bytes) -> None:
        os.write(self._tap, self.HEADER + frame)

    def receive(self, wait_s: float) -> bytes:
        if not select.select([self._tap], [], [], wait_s)[0]:
            raise TimeoutError
        return os.read(self._tap, 1 << 17)[len(self.HEADER) :]


class Guest:
    """Speaks Ethernet over the link that a guest's card would have."""

    def __init__(self, link: Link, interface: Interface) -> None:
        self.link = link
        self.mac = bytes.fromhex(interface.mac.replace(":", ""))
        self.address = interface.address
        self.next_hop = BROADCAST
        self._port = 40000

    def can_connect(self, address: str, port: int, *, wait_s: float) -> bool:
        """Tell whether a TCP connection is accepted."""
        sent = self._send_syn(address, port)
        return any(to == sent and _is_accepted(frame) for to, frame in self._receive(wait_s))

    def ask(self, address: str, port: int, data: bytes, *, wait_s: float) -> bytes | None:
        """Send a datagram and return the answer's content, or None."""
        sent = self.send_datagram(address, port, data)
        frames = (frame for to, frame in self._receive(wait_s) if to == sent)
        return next(map(_content_of_datagram, frames), None)

    def find_reached(
        self, addresses: Iterable[str], *, tcp: int, udp: int, wait_s: float = 2.0, enough: int = 0
    ) -> list[str]:
        """Try a TCP and a UDP port of each address; return those that accept or answer in time.

        As soon as `enough` have, more are waited for only a moment.
        """
        sent: dict[int, str] = {}
        for address in addresses:
            sent[self._send_syn(address, tcp)] = f"{address} tcp"
            sent[self.send_datagram(address, udp, b"q")] = f"{address} udp"

        def reached(wait_s: float) -> Iterator[str]:
            for to, frame in self._receive(wait_s):
                if to in sent and (frame[23] == socket.IPPROTO_UDP or _is_accepted(frame)):
                    yield sent[to]

        if not enough:
            return list(reached(wait_s))
        return [*itertools.islice(reached(wait_s), enough), *reached(0.5)]

    def _send_syn(self, address: str, port: int) -> int:
        """Return the port that an answer comes to."""
        self._port += 1
        segment = struct.pack("!HHIIBBHHH", self._port, port, 1000, 0, 5 << 4, 2, 65535, 0, 0)
        self._send(address, socket.IPPROTO_TCP, segment, checksum_at=16)
        return self._port

    def send_datagram(self, address: str, port: int, data: bytes) -> int:
        """Return the port that an answer comes to."""
        self._port += 1
        datagram = struct.pack("!HHHH", self._port, port, 8 + len(data), 0) + data
        self._send(address, socket.IPPROTO_UDP, datagram, checksum_at=6)
        return self._port

    def _send(self, address: str, protocol: int, content: bytes, *, checksum_at: int) -> None:
        ends = socket.inet_aton(self.address) + socket.inet_aton(address)
        pseudo = ends + struct.pack("!BBH", 0, protocol, len(content))
        content = _with_checksum(content, at=checksum_at, over=pseudo + content)
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(content), 1, 0, 64, protocol, 0) + ends
        header = _with_checksum(header, at=10, over=header)
        self.link.send(self.next_hop + self.mac + b"\x08\x00" + header + content)

    def _receive(self, wait_s: float) -> Iterator[tuple[int, bytes]]:
        """Yield each frame of TCP or UDP that comes within the time, after the port it is for."""
        deadline = time.monotonic() + wait_s
        with contextlib.suppress(TimeoutError):
            while (left := deadline - time.monotonic()) > 0:
                frame = self.link.receive(left)
                kinds = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
                if frame[12:14] == b"\x08\x00" and frame[23] in kinds:
                    yield int.from_bytes(frame[36:38], "big"), frame


def _content_of_datagram(frame: bytes) -> bytes:
    """Return what is in a datagram; a short frame is filled up to Ethernet's least size."""
    return frame[42 : 34 + int.from_bytes(frame[38:40], "big")]


def _is_accepted(frame: bytes) -> bool:
    return frame[23] == socket.IPPROTO_TCP and frame[47] & SYN_ACK == SYN_ACK


def _with_checksum(content: bytes, *, at: int, over: bytes) -> bytes:
    padded = over + b"\0" * (len(over) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return content[:at] + struct.pack("!H", ~total & 0xFFFF) + content[at + 2 :]
