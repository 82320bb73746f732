"""The program that stands between a guest's network card and passt, and drops what may not pass.

Hazard E4. passt opens a socket of the host for each flow of the guest, to the very
address that the guest's packet names. `--no-map-gw` keeps the gateway's address from meaning
the host, but a guest that writes 127.0.0.1 into its packets still reaches the host's
loopback (seen with passt 2023-03-09): every local service of the user and the ports that
other VMs forward. So frames pass here first, and only ARP and IPv4 to addresses out
in the world go on: not to this host (0/8, 127/8), not to link-local addresses
(169.254/16, where clouds keep credentials), not to multicast.

Run as `python -I -S guard.py GUEST-FD PASST-FD LABEL`, one for each VM, from before the VMM
starts until either side closes. Imports a few modules of the standard library and nothing
of ours, so that it is small. Frames are as QEMU and passt speak: a length of four bytes,
big-endian, then an Ethernet frame. A length that no frame has ends the program, and with it the
VM's network: only a VMM that was taken over sends one. LABEL names the VM in the process list.

Owns its two sockets; writes no files. If it dies, passt ends and the VM runs on unconnected.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable

CHUNK = 256 * 1024
BACKLOG = 16 * 1024 * 1024
LONGEST_FRAME = 65535 + 18
"""An IPv4 packet and an Ethernet header with a tag."""
SHORTEST_FRAME = 14
ARP = b"\x08\x06"
IPV4 = b"\x08\x00"
_IPV4_DESTINATION = slice(30, 34)


def may_pass(frame: bytes | memoryview) -> bool:
    """Tell whether a guest's frame may leave its VM."""
    kind = frame[12:14]
    if kind == ARP:
        return True
    if kind != IPV4 or len(frame) < 34:
        return False
    return is_outside(bytes(frame[_IPV4_DESTINATION]))


def is_outside(address: bytes) -> bool:
    """Tell whether an IPv4 address is neither this host, link-local nor multicast."""
    first, second = address[0], address[1]
    if first in (0, 127) or (first, second) == (169, 254):
        return False
    # 240/4 is unused, but for the broadcast that a DHCP client starts with.
    return first < 224 or address == b"\xff\xff\xff\xff"


def filter_frames(untrusted: bytearray) -> bytes:
    """Take whole frames off the buffer and return those that may pass, as a stream.

    Raises:
        ValueError: a length is one that no frame has.
    """
    passed: list[memoryview] = []
    offset, end = 0, len(untrusted)
    whole = memoryview(bytes(untrusted))
    while end - offset >= 4:
        length = int.from_bytes(whole[offset : offset + 4], "big")
        if not SHORTEST_FRAME <= length <= LONGEST_FRAME:
            raise ValueError(f"a frame of {length} bytes")
        following = offset + 4 + length
        if following > end:
            break
        if may_pass(whole[offset + 4 : following]):
            passed.append(whole[offset:following])
        offset = following
    del untrusted[:offset]
    return b"".join(passed)


def carry_out(guest: socket.socket, world: socket.socket) -> None:
    """Pass the guest's frames on, filtered, until either side closes."""
    buffer = bytearray()
    while chunk := guest.recv(CHUNK):
        buffer += chunk
        frames = filter_frames(buffer)
        if frames:
            world.sendall(frames)


class Backlog:
    """Chunks on their way to the guest, of BACKLOG bytes at most.

    passt drops what it cannot send at once, and then waits two seconds for an
    acknowledgement before it sends again; a slow (emulated) guest that is sent a whole TCP
    window at once would stand still. So what passt sends is taken at once, and kept here.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._changed = threading.Condition()

    def put(self, chunk: bytes) -> None:
        """Add a chunk; waits while there is no room."""
        with self._changed:
            self._changed.wait_for(lambda: self._size < BACKLOG)
            self._chunks.append(chunk)
            self._size += len(chunk)
            self._changed.notify_all()

    def take(self) -> bytes:
        """Return everything that is there; waits for the first chunk."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks)
            chunks, self._chunks, self._size = self._chunks, [], 0
            self._changed.notify_all()
        return b"".join(chunks)


def carry_in(world: socket.socket, backlog: Backlog) -> None:
    """Take everything from the world until it closes."""
    while chunk := world.recv(CHUNK):
        backlog.put(chunk)


def deliver(backlog: Backlog, guest: socket.socket) -> None:
    """Pass the backlog to the guest until that closes (an OSError)."""
    while True:
        guest.sendall(backlog.take())


def main(arguments: list[str]) -> None:
    """Carry frames both ways; ends the process when one way ends."""
    guest, world = (socket.socket(fileno=int(fd)) for fd in arguments[:2])
    backlog = Backlog()
    for carry in (lambda: carry_in(world, backlog), lambda: deliver(backlog, guest)):
        threading.Thread(target=_to_the_end, args=(carry,), daemon=True).start()
    _to_the_end(lambda: carry_out(guest, world))


def _to_the_end(carry: Callable[[], None]) -> None:
    try:
        carry()
    except (OSError, ValueError) as error:
        sys.stderr.write(f"guard: {error}\n")
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
