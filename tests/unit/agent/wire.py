"""A small codec of the guest protocol for the agent's tests.

Written from docs/guest-protocol.md on its own, not from the product's codec: two readings
of the page check each other. Blocking sockets with a deadline on every wait.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass, field

HELLO, OPEN, DATA, EOF, CREDIT, CONTROL, EVENT, RESULT, ERROR, CLOSE = range(1, 11)
PING, BOOT, IDENTITY, EXEC, TAR_IN, TAR_OUT, STAT, SYNC, POWEROFF = range(1, 10)
CONNECT, LISTENERS, LIST, READ, SFTP, LISTEN, ACCEPT, UDP, CHECKSUM = range(10, 19)
SESSION_START, SESSION_LIST, SESSION_ATTACH, SESSION_SEND = range(19, 23)
SESSION_SIGNAL, SESSION_WAIT, SESSION_DELETE, PROCESSES = range(23, 27)
TTY, STDIN, DETACH, SUPERVISE = 1, 2, 4, 8
MAGIC = b"BANGER\x00\x01"
PREAMBLE = bytes(32781)
WINDOW = 262144
FIRST_WINDOW = 32768
LARGEST = 32768

TAGS = {
    "CODE": 1, "MESSAGE": 2, "ERRNO": 3, "AGENT_VERSION": 4, "BOOT_ID": 5, "STATE": 6, "ARCH": 7,
    "STREAMS": 8, "FEATURES": 9,
    "ARG": 16, "ENV": 17, "CWD": 18, "USER": 19, "FLAGS": 20, "ROWS": 21, "COLUMNS": 22,
    "SIGNAL": 23, "STATUS": 24, "PID": 25, "SESSION": 26, "STARTED_NS": 27, "ENDED_NS": 28,
    "READERS": 29, "MODES": 30,
    "PATH": 32, "ENTRIES": 33, "BYTES": 34, "NAME": 35,
    "UID": 36, "GID": 37, "MODE": 38, "SIZE": 39, "MTIME_NS": 40, "TARGET": 41,
    "OFFSET": 42, "DIGEST": 43, "LINES": 44, "SINCE_NS": 45,
    "HOST": 48, "PORT": 49, "LISTENER": 50, "CONNECTION": 51,
    "NUMBER": 52, "HOSTNAME": 64, "CLOCK_NS": 65, "ENTROPY": 66, "FILE": 67,
    "CONTENT": 68, "INTERFACE": 69, "MAC": 70, "ADDRESS": 71, "PREFIX": 72, "GATEWAY": 73,
    "ROOT": 74, "DATA": 75, "INIT": 76, "NATIVE": 77, "MODULES": 78, "ADDRESS6": 79,
}  # fmt: skip
NAMES = {number: name for name, number in TAGS.items()}

Value = int | str | bytes
Fields = list[tuple[str, Value]]


def fields(*items: tuple[str, Value]) -> bytes:
    """Encode fields in their order."""
    parts = []
    for name, value in items:
        if isinstance(value, int):
            raw = struct.pack("<q" if value < 0 else "<Q", value)
        else:
            raw = value.encode() if isinstance(value, str) else value
        parts.append(struct.pack("<HI", TAGS[name], len(raw)) + raw)
    return b"".join(parts)


def decode(raw: bytes) -> list[tuple[str, bytes]]:
    """Decode fields; values stay bytes."""
    found = []
    while raw:
        tag, length = struct.unpack_from("<HI", raw)
        assert len(raw) >= 6 + length, "a field is cut short"
        found.append((NAMES[tag], raw[6 : 6 + length]))
        raw = raw[6 + length :]
    return found


def number(raw: bytes) -> int:
    return int(struct.unpack("<Q", raw)[0])


def frame(
    kind: int, stream: int, payload: bytes = b"", *, channel: int = 0, flags: int = 0
) -> bytes:
    header = struct.pack("<BBBBII", kind, channel, flags, 0, stream, len(payload))
    return header + payload + b"\xe5"


@dataclass(frozen=True)
class Frame:
    kind: int
    channel: int
    stream: int
    payload: bytes

    @property
    def fields(self) -> dict[str, bytes]:
        return dict(decode(self.payload))


@dataclass
class Outcome:
    """What one stream said until its end."""

    output: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray()})
    ended: set[int] = field(default_factory=set)
    events: list[Frame] = field(default_factory=list)
    last: Frame | None = None

    @property
    def stdout(self) -> bytes:
        return bytes(self.output[1])

    @property
    def stderr(self) -> bytes:
        return bytes(self.output[2])

    @property
    def code(self) -> str:
        assert self.last is not None
        assert self.last.kind == ERROR, self.last
        return self.last.fields["CODE"].decode()

    @property
    def result(self) -> dict[str, bytes]:
        assert self.last is not None
        assert self.last.kind == RESULT, (self.last.kind, self.last.fields)
        return self.last.fields

    @property
    def status(self) -> int:
        return number(self.result["STATUS"])


class Host:
    """The host's end of a connection: frames in and out, streams, credit."""

    def __init__(self, sock: socket.socket, *, deadline_s: float = 30) -> None:
        self.sock = sock
        self.deadline_s = deadline_s
        self.buffer = bytearray()
        self.next_stream = 1
        self.hello: dict[str, bytes] = {}
        self.version = -1
        self.outcomes: dict[int, Outcome] = {}
        self.credit: dict[int, int] = {}
        self.grants = True

    # --- bytes ---

    def send(self, raw: bytes) -> None:
        self.sock.settimeout(self.deadline_s)
        self.sock.sendall(raw)

    def _more(self) -> None:
        self.sock.settimeout(self.deadline_s)
        raw = self.sock.recv(65536)
        if not raw:
            raise EOFError("the agent closed the connection")
        self.buffer += raw

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._more()
        raw = bytes(self.buffer[:size])
        del self.buffer[:size]
        return raw

    # --- connection ---

    def connect(self, *, low: int = 1, high: int = 2) -> None:
        """Preamble, HELLO, and skip to the answer with our nonce."""
        nonce = os.urandom(16)
        self.send(PREAMBLE + frame(HELLO, 0, MAGIC + nonce + struct.pack("<HH", low, high)))
        needle = MAGIC + nonce
        deadline = time.monotonic() + self.deadline_s
        while needle not in self.buffer:
            assert time.monotonic() < deadline
            self._more()
        del self.buffer[: self.buffer.index(needle) - 12]
        answer = self.read()
        assert answer.kind == HELLO
        assert answer.payload[:24] == needle
        self.version, zero = struct.unpack_from("<HH", answer.payload, 24)
        assert zero == 0
        self.hello = dict(decode(answer.payload[28:]))
        self.next_stream = 1
        self.outcomes.clear()
        self.credit.clear()

    def read(self) -> Frame:
        kind, channel, flags, zero, stream, length = struct.unpack("<BBBBII", self._take(12))
        assert 1 <= kind <= 10, kind
        assert (flags, zero) == (0, 0)
        assert length <= LARGEST
        payload = self._take(length)
        assert self._take(1) == b"\xe5"
        return Frame(kind, channel, stream, payload)

    # --- streams ---

    def open(self, kind: int, *items: tuple[str, Value], split: int = LARGEST - 1) -> int:
        """Send a request, in frames of at most `split` bytes of fields."""
        stream, self.next_stream = self.next_stream, self.next_stream + 1
        raw = fields(*items)
        parts = [raw[i : i + split] for i in range(0, len(raw), split)] or [b""]
        for index, part in enumerate(parts):
            more = index < len(parts) - 1
            payload = part if index else bytes([kind]) + part
            self.send(frame(OPEN, stream, payload, flags=1 if more else 0))
        self.outcomes[stream] = Outcome()
        self.credit[stream] = self.window
        return stream

    @property
    def window(self) -> int:
        """What each side may send on a channel at first."""
        return WINDOW if self.version == 1 else FIRST_WINDOW

    def step(self) -> Frame:
        """Read one frame and file it under its stream."""
        got = self.read()
        outcome = self.outcomes[got.stream]
        assert outcome.last is None, "a frame after the last one"
        if got.kind == DATA:
            assert got.channel not in outcome.ended
            outcome.output[got.channel] += got.payload
            if self.grants:
                credit = struct.pack("<I", len(got.payload))
                self.send(frame(CREDIT, got.stream, credit, channel=got.channel))
        elif got.kind == EOF:
            outcome.ended.add(got.channel)
        elif got.kind == CREDIT:
            assert got.channel == 0
            self.credit[got.stream] += struct.unpack("<I", got.payload)[0]
        elif got.kind == EVENT:
            outcome.events.append(got)
        else:
            assert got.kind in (RESULT, ERROR)
            outcome.last = got
        return got

    def wait(self, stream: int) -> Outcome:
        while self.outcomes[stream].last is None:
            self.step()
        return self.outcomes[stream]

    def wait_event(self, stream: int, count: int = 1) -> Frame:
        while len(self.outcomes[stream].events) < count:
            assert self.outcomes[stream].last is None, self.outcomes[stream].last
            self.step()
        return self.outcomes[stream].events[count - 1]

    def wait_output(self, stream: int, needle: bytes) -> bytes:
        while needle not in self.outcomes[stream].output[1]:
            assert self.outcomes[stream].last is None, self.outcomes[stream]
            self.step()
        return self.outcomes[stream].stdout

    def write(self, stream: int, raw: bytes, *, eof: bool = True) -> None:
        """Send channel 0 within its credit; stops when the stream has ended."""
        while raw:
            while not self.credit[stream] and self.outcomes[stream].last is None:
                self.step()
            if self.outcomes[stream].last is not None:
                return
            size = min(len(raw), LARGEST, self.credit[stream])
            self.credit[stream] -= size
            self.send(frame(DATA, stream, raw[:size]))
            raw = raw[size:]
        if eof:
            self.send(frame(EOF, stream))

    def close_stream(self, stream: int) -> None:
        self.send(frame(CLOSE, stream))

    def control(self, stream: int, *items: tuple[str, Value]) -> None:
        self.send(frame(CONTROL, stream, fields(*items)))

    # --- requests ---

    def call(self, kind: int, *items: tuple[str, Value]) -> Outcome:
        return self.wait(self.open(kind, *items))

    def start(self, *argv: str | bytes, flags: int = 0, more: Fields | None = None) -> int:
        items: Fields = [("ARG", word) for word in argv]
        if flags:
            items.append(("FLAGS", flags))
        return self.open(EXEC, *items, *(more or []))

    def exec(
        self,
        *argv: str | bytes,
        stdin: bytes | None = None,
        flags: int = 0,
        more: Fields | None = None,
    ) -> Outcome:
        stream = self.start(*argv, flags=flags | (STDIN if stdin is not None else 0), more=more)
        if stdin is not None:
            self.write(stream, stdin)
        return self.wait(stream)
