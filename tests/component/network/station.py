"""A guest behind a TAP, without a guest: a network namespace with a pair of veth devices.

Run in `unshare --user --map-root-user --net` as `station.py FD ORDER`. One device has the TAP's
name, and what passes there goes by a packet socket, with the headers that a TAP's queue has; the
other is the guest's network card. Needs no /dev/net/tun, which some hosts keep from ordinary users.
ORDER is a JSON document; prints another with what was found, and ends when FD is closed at the
other end.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from typing import Any

from banger.host import programs
from banger.model.names import VmId
from banger.network.user.kind import NETWORK
from tests.component.network.frames import Guest, PacketLink

INTERFACE = NETWORK.plan_interface(VmId("0123456789ab"))
TAP, CARD = "tap0", "card"
SOL_PACKET, VNET_HEADER, IGNORE_OUTGOING, ALL_PROTOCOLS = 263, 15, 23, 3


def make_devices() -> None:
    for command in (
        "ip link set lo up",
        f"ip link add {CARD} address {INTERFACE.mac} type veth peer name {TAP}",
        f"ip link set {TAP} mtu 8192 up",
        f"ip link set {CARD} up",
    ):
        programs.run_sync(command.split(), deadline_s=10)


def give_address() -> None:
    """Let this namespace's kernel be the guest's."""
    for command in (
        f"ip address add {INTERFACE.address}/{INTERFACE.prefix} dev {CARD}",
        f"ip route add default via {INTERFACE.gateway}",
    ):
        programs.run_sync(command.split(), deadline_s=10)


def hand_over(side: socket.socket) -> None:
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packets,
        open("/proc/self/net/dev") as statistics,
    ):
        packets.setsockopt(SOL_PACKET, VNET_HEADER, 1)
        packets.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        packets.bind((TAP, ALL_PROTOCOLS))
        socket.send_fds(side, [TAP.encode()], [packets.fileno(), statistics.fileno()])


def try_frames(attempts: list[tuple[str, str, int, float]]) -> list[bool]:
    """Connect, or ask, by frames made by hand; tell which were answered within their time."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as card:
        card.bind((CARD, ALL_PROTOCOLS))
        guest = Guest(PacketLink(card), INTERFACE)
        found = []
        for kind, address, port, wait_s in attempts:
            if kind == "tcp":
                found.append(guest.can_connect(address, port, wait_s=wait_s))
            else:
                found.append(guest.ask(address, port, b"q", wait_s=wait_s) is not None)
        return found


def transfer(address: str, port: int, size: int) -> dict[str, Any]:
    """Send bytes by this kernel's TCP, which leaves cutting and checksums to the card."""
    give_address()
    data = hashlib.shake_256(b"out").digest(size)
    with socket.socket() as connection:
        connection.settimeout(60)
        # Less on the way than the packet socket has room for, however late its reader is.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.connect((address, port))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        back = b""
        while chunk := connection.recv(1 << 16):
            back += chunk
    digests = [hashlib.sha256(each).hexdigest() for each in (data, back)]
    return {"sent": digests[0], "back": digests[1], "size": len(back)}


def main() -> None:
    side, order = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])
    make_devices()
    hand_over(side)
    found: Any = None
    if "attempts" in order:
        found = try_frames([tuple(each) for each in order["attempts"]])
    elif "transfer" in order:
        found = transfer(*order["transfer"])
    print(json.dumps(found), flush=True)
    if order.get("stays"):
        os.read(side.fileno(), 1)


if __name__ == "__main__":
    main()
