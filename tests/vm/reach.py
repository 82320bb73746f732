"""Run in a guest, as root, by its Python: what can be reached from there.

Arguments: KIND:ADDRESS:PORT. `socket` asks the guest's kernel to connect, which keeps its own
loopback to itself; `frame` sends a TCP SYN in a frame made by hand, as a guest does that
means harm, and looks for the SYN-ACK. Prints each argument with `yes` or `no`.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time

ADDRESS = "10.0.2.15"
IPV4 = b"\x08\x00"
ALL_PROTOCOLS = 3


def by_socket(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 3).close()
    except OSError:
        return False
    return True


def by_frame(address: str, port: int, source_port: int) -> bool:
    name = next(name for name in os.listdir("/sys/class/net") if name != "lo")
    with open(f"/sys/class/net/{name}/address") as file:
        mac = bytes.fromhex(file.read().strip().replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS)) as raw:
        raw.bind((name, ALL_PROTOCOLS))
        raw.send(b"\xff" * 6 + mac + IPV4 + packet(address, port, source_port))
        deadline = time.monotonic() + 3
        while (left := deadline - time.monotonic()) > 0:
            raw.settimeout(left)
            try:
                frame = raw.recv(2048)
            except TimeoutError:
                return False
            to_us = frame[:6] == mac and frame[36:38] == struct.pack("!H", source_port)
            if to_us and frame[12:14] == IPV4 and frame[23] == socket.IPPROTO_TCP:
                return frame[47] & 0x12 == 0x12
    return False


def packet(address: str, port: int, source_port: int) -> bytes:
    ends = socket.inet_aton(ADDRESS) + socket.inet_aton(address)
    syn = struct.pack("!HHIIBBHHH", source_port, port, 1000, 0, 5 << 4, 2, 65535, 0, 0)
    pseudo = ends + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(syn))
    syn = syn[:16] + checksum(pseudo + syn) + syn[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, socket.IPPROTO_TCP, 0) + ends
    return header[:10] + checksum(header) + header[12:] + syn


def checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def main() -> None:
    for number, attempt in enumerate(sys.argv[1:]):
        kind, address, port = attempt.split(":")
        if kind == "socket":
            reached = by_socket(address, int(port))
        else:
            reached = by_frame(address, int(port), 50000 + number)
        print(attempt, "yes" if reached else "no", flush=True)


if __name__ == "__main__":
    main()
