"""Probe whether a user network answers. Pure but for the socket it is given.

An ARP request for the gateway, and passt's answer, prove that the whole way works, and
take about ten milliseconds: there is nothing to poll. On a stream each frame has its length
before it, and the answer is read to its last byte, so that the stream stands at a frame's start
when the VMM gets it; on other sockets a frame is a message.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from banger.network.port import Interface

LENGTH_BYTES, LONGEST_FRAME = 4, 65536
_ARP_REQUEST = 1
_ETHERTYPE_ARP = b"\x08\x06"


def render_arp_request(interface: Interface) -> bytes:
    """Return the frame that asks who has the gateway's address."""
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
    return b"\xff" * 6 + mac + _ETHERTYPE_ARP + body


async def knock(side: socket.socket, interface: Interface) -> None:
    """Return when the network has answered for its gateway.

    Raises:
        EOFError: the other side closed.
        OSError: the other side is gone.
    """
    request, is_stream = render_arp_request(interface), side.type == socket.SOCK_STREAM
    length = len(request).to_bytes(LENGTH_BYTES, "big") if is_stream else b""
    await asyncio.get_running_loop().sock_sendall(side, length + request)
    read = _read_frame if is_stream else _read_message
    while (await read(side))[12:14] != _ETHERTYPE_ARP:
        pass


async def _read_message(side: socket.socket) -> bytes:
    message = await asyncio.get_running_loop().sock_recv(side, LONGEST_FRAME)
    if not message:
        raise EOFError
    return message


async def _read_frame(side: socket.socket) -> bytes:
    length = int.from_bytes(await _read_exactly(side, LENGTH_BYTES), "big")
    return await _read_exactly(side, length)


async def _read_exactly(side: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    parts = bytearray()
    while len(parts) < count:
        chunk = await loop.sock_recv(side, count - len(parts))
        if not chunk:
            raise EOFError
        parts += chunk
    return bytes(parts)
