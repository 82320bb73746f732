"""Knocking at a user network: is anybody there? Pure but for the socket it is given.

An ARP request for the gateway, and passt's answer, prove that the whole way works, and
take about ten milliseconds: there is nothing to poll. The answer is read to its
last byte, so that the stream stands at a frame's start when the VMM gets it.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from banger.network.port import Interface

_ARP_REQUEST = 1
_ETHERTYPE_ARP = b"\x08\x06"


def render_arp_request(interface: Interface) -> bytes:
    """Return the frame that asks who has the gateway's address, with its length in front."""
    mac = bytes.fromhex(interface.mac.replace(":", ""))
    body = struct.pack(
        "!HHBBH6s4s6s4s",
        1,  # Ethernet
        0x0800,
        6,
        4,
        _ARP_REQUEST,
        mac,
        socket.inet_aton(interface.address),
        bytes(6),
        socket.inet_aton(interface.gateway),
    )
    frame = b"\xff" * 6 + mac + _ETHERTYPE_ARP + body
    return len(frame).to_bytes(4, "big") + frame


async def knock(side: socket.socket, interface: Interface) -> None:
    """Return when the network has answered for its gateway.

    Raises:
        EOFError: the other side closed.
        OSError: the other side is gone.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(side, render_arp_request(interface))
    while True:
        length = int.from_bytes(await _read_exactly(side, 4), "big")
        frame = await _read_exactly(side, length)
        if frame[12:14] == _ETHERTYPE_ARP:
            return


async def _read_exactly(side: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    parts = bytearray()
    while len(parts) < count:
        chunk = await loop.sock_recv(side, count - len(parts))
        if not chunk:
            raise EOFError
        parts += chunk
    return bytes(parts)
