"""Both ends of a filter, and the frames that go through it."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

MACS = bytes(12)
SOURCE = bytes((10, 0, 2, 15))
SENTINEL = MACS + b"\x08\x06" + b"banger's sentinel"
"""An ARP frame, which passes: what came before it has passed or never will."""


def ipv4_frame(
    destination: bytes, *, options: bytes = b"", payload: bytes = bytes(8), protocol: int = 17
) -> bytes:
    """An IPv4 frame; the first bytes of its payload are ports."""
    words = 5 + len(options) // 4
    size = min(4 * words + len(payload), 65535)
    header = struct.pack("!BBHHHBBH4s", 0x40 + words, 0, size, 0, 0, 64, protocol, 0, SOURCE)
    return MACS + b"\x08\x00" + header + destination + options + payload


def rule(
    *,
    allows: bool = True,
    protocol: int = 0,
    network: str = "0.0.0.0",
    prefix: int = 0,
    first: int = 0,
    last: int = 65535,
) -> bytes:
    """A rule, as the filter takes it; all that is not given is everything."""
    head = struct.pack("!BBBB", allows, protocol, prefix, 0)
    return head + socket.inet_aton(network) + struct.pack("!HH", first, last)


EVERYTHING = rule() + rule(network="255.255.255.255", prefix=32)
"""A policy that allows what one can."""


def stream(*frames: bytes) -> bytes:
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)


def receive(side: socket.socket, size: int) -> bytes:
    """Receive so many bytes. A socket with a timeout does not block, whatever MSG_WAITALL says."""
    received = b""
    while len(received) < size:
        piece = side.recv(size - len(received))
        assert piece, "the filter ended"
        received += piece
    return received


def receive_frame(side: socket.socket) -> bytes:
    """Receive a frame that has its length before it."""
    return receive(side, int.from_bytes(receive(side, 4), "big"))


@dataclass
class EgressFilter:
    """A running filter: `guest` is the VMM's end, `world` is passt's."""

    guest: socket.socket
    world: socket.socket
    process: subprocess.Popen[bytes]
    control: Path
    DEADLINE_S: ClassVar[int] = 30

    def __post_init__(self) -> None:
        self.guest.settimeout(self.DEADLINE_S)
        self.world.settimeout(self.DEADLINE_S)

    def ask(self, message: bytes) -> bytes:
        """Send a message by the control socket and return the answer; b"": it was closed."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as side:
            side.settimeout(self.DEADLINE_S)
            side.connect(str(self.control))
            side.send(message)
            return side.recv(1 << 16)

    def filter(self, *pieces: bytes) -> bytes:
        """Send pieces that make whole frames, and return what comes out."""
        for piece in pieces:
            self.guest.sendall(piece)
        self.guest.sendall(stream(SENTINEL))
        out = b""
        while not out.endswith(stream(SENTINEL)):
            chunk = self.world.recv(65536)
            assert chunk, "the filter ended"
            out += chunk
        return out.removesuffix(stream(SENTINEL))

    def passes(self, frame: bytes) -> bool:
        """Tell whether a frame comes out; it must do so unchanged, or not at all."""
        out = self.filter(stream(frame))
        assert out in (b"", stream(frame))
        return bool(out)

    def fill(self, side: socket.socket, data: bytes, *, step: int = 65536) -> int:
        """Send to the filter until it takes no more, and return how much it took."""
        sent, waits, deadline = 0, False, time.monotonic() + self.DEADLINE_S
        side.setblocking(False)
        while sent < len(data):
            try:
                sent += side.send(data[sent : sent + step])
                waits = False
            except BlockingIOError:
                if waits:
                    break
                # Asleep although the socket is full, then and now: it wants no more of it.
                waits = self._is_asleep()
                assert time.monotonic() < deadline, "it is busy with nothing"
                time.sleep(0.01)
        side.settimeout(self.DEADLINE_S)
        return sent

    def wait_asleep(self) -> None:
        """Return when it waits for something to do."""
        deadline = time.monotonic() + self.DEADLINE_S
        while not self._is_asleep():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _is_asleep(self) -> bool:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "S"

    def last_words(self) -> str:
        """Return what the filter said, once it has ended."""
        assert self.process.wait(self.DEADLINE_S) == 0
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


def read_all(side: socket.socket, count: int) -> bytes:
    """Return the next `count` bytes."""
    data = bytearray()
    while len(data) < count:
        chunk = side.recv(count - len(data))
        assert chunk, "the filter ended"
        data += chunk
    return bytes(data)
