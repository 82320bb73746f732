"""Run in a guest, as root, by its Python: what can be reached from there.

Arguments: KIND:ADDRESS:PORT:SECONDS. `socket` asks the guest's kernel to connect, which keeps its
own loopback to itself; `frame` sends a TCP SYN in a frame made by hand, as a guest does that
means harm, and looks for the SYN-ACK. All are tried at once, each for so many seconds. Prints each
argument with `yes` or `no`, in their order.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor

ADDRESS = "10.0.2.15"
IPV4 = b"\x08\x00"
ALL_PROTOCOLS = 3


def by_socket(address: str, port: int, wait_s: float) -> bool:
    try:
        socket.create_connection((address, port), wait_s).close()
    except OSError:
        return False
    return True


def by_frame(address: str, port: int, wait_s: float, source_port: int) -> bool:
    name = next(name for name in os.listdir("/sys/class/net") if name != "lo")
    with open(f"/sys/class/net/{name}/address") as file:
        mac = bytes.fromhex(file.read().strip().replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS)) as raw:
        raw.bind((name, ALL_PROTOCOLS))
        raw.send(b"\xff" * 6 + mac + IPV4 + packet(address, port, source_port))
        deadline = time.monotonic() + wait_s
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


def reaches(number: int, attempt: str) -> bool:
    kind, address, port, seconds = attempt.split(":")
    if kind == "socket":
        return by_socket(address, int(port), float(seconds))
    return by_frame(address, int(port), float(seconds), 50000 + number)


def main() -> None:
    attempts = sys.argv[1:]
    with ThreadPoolExecutor(len(attempts)) as pool:
        reached = [pool.submit(reaches, *each) for each in enumerate(attempts)]
        for attempt, result in zip(attempts, reached, strict=True):
            print(attempt, "yes" if result.result() else "no", flush=True)


if __name__ == "__main__":
    main()
