"""A client of SFTP version 3 for tests: one request, one reply, and what they are made of.

Written from draft-ietf-secsh-filexfer-02 and OpenSSH's PROTOCOL page.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

INIT, HELLO, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = range(1, 11)
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = range(11, 21)
STATUS, HANDLE, DATA, NAME, ATTRS = range(101, 106)
EXTENDED, EXTENDED_REPLY = 200, 201
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE = range(6)
UNSUPPORTED = 8
FOR_READING, FOR_WRITING, APPEND, CREATE, TRUNCATE, EXCLUSIVE = 1, 2, 4, 8, 16, 32
PACKET_MAX = 262144


class U64(int):
    """A number of eight bytes; any other has four."""


@dataclass(frozen=True)
class Attributes:
    """Attributes; None: it is not there."""

    size: int | None = None
    owner: tuple[int, int] | None = None
    mode: int | None = None
    times: tuple[int, int] | None = None

    def encode(self) -> bytes:
        """Return the flags and the values that are there."""
        parts = [
            (1, b"" if self.size is None else struct.pack(">Q", self.size)),
            (2, b"" if self.owner is None else struct.pack(">II", *self.owner)),
            (4, b"" if self.mode is None else struct.pack(">I", self.mode)),
            (8, b"" if self.times is None else struct.pack(">II", *self.times)),
        ]
        flags = sum(flag for flag, value in parts if value)
        return struct.pack(">I", flags) + b"".join(value for _, value in parts)


NOTHING = Attributes()
Value = int | str | bytes | Attributes


def encode(value: Value) -> bytes:
    """Encode one field of a request."""
    match value:
        case Attributes():
            return value.encode()
        case U64():
            return struct.pack(">Q", value)
        case int():
            return struct.pack(">I", value)
        case str():
            return encode(value.encode())
        case bytes():
            return struct.pack(">I", len(value)) + value


def packet(kind: int, body: bytes) -> bytes:
    """Return a packet with its length."""
    return struct.pack(">IB", len(body) + 1, kind) + body


class Reply:
    """A reply, taken apart from its beginning."""

    def __init__(self, raw: bytes) -> None:
        self.kind, self._rest = raw[0], raw[1:]
        self.id = self.u32()

    def _take(self, size: int) -> bytes:
        assert len(self._rest) >= size, "the reply is cut short"
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    @property
    def is_read(self) -> bool:
        """Whether everything was taken."""
        return not self._rest

    def u32(self) -> int:
        return int(struct.unpack(">I", self._take(4))[0])

    def u64(self) -> int:
        return int(struct.unpack(">Q", self._take(8))[0])

    def text(self) -> bytes:
        return self._take(self.u32())

    def attributes(self) -> Attributes:
        flags = self.u32()
        assert not flags & ~15
        return Attributes(
            size=self.u64() if flags & 1 else None,
            owner=(self.u32(), self.u32()) if flags & 2 else None,
            mode=self.u32() if flags & 4 else None,
            times=(self.u32(), self.u32()) if flags & 8 else None,
        )

    def names(self) -> list[tuple[bytes, bytes, Attributes]]:
        """Return name, line and attributes of each entry."""
        assert self.kind == NAME
        return [(self.text(), self.text(), self.attributes()) for _ in range(self.u32())]

    @property
    def status(self) -> int:
        assert self.kind == STATUS, self.kind
        return int(struct.unpack(">I", self._rest[:4])[0])


class SftpClient:
    """A session over two functions: one sends bytes, the other returns exactly so many."""

    def __init__(self, send: Callable[[bytes], object], take: Callable[[int], bytes]) -> None:
        self._send = send
        self._take = take
        self._next_id = 7
        self.extensions: dict[bytes, bytes] = {}

    def greet(self) -> None:
        """Exchange versions."""
        self._send(packet(INIT, struct.pack(">I", 3)))
        hello = self.receive()
        assert (hello.kind, hello.id) == (HELLO, 3)
        while not hello.is_read:
            name = hello.text()
            self.extensions[name] = hello.text()

    def send(self, kind: int, *values: Value) -> int:
        """Send a request and return its id."""
        number, self._next_id = self._next_id, self._next_id + 1
        self._send(packet(kind, struct.pack(">I", number) + b"".join(map(encode, values))))
        return number

    def receive(self) -> Reply:
        """Return the next reply."""
        (size,) = struct.unpack(">I", self._take(4))
        assert 0 < size <= PACKET_MAX
        return Reply(self._take(size))

    def ask(self, kind: int, *values: Value) -> Reply:
        """Send a request and return its reply."""
        number = self.send(kind, *values)
        reply = self.receive()
        assert reply.id == number
        return reply

    def extend(self, name: str, *values: Value) -> Reply:
        """Send a request of an extension of OpenSSH and return its reply."""
        return self.ask(EXTENDED, f"{name}@openssh.com", *values)

    def open(self, path: str, flags: int, attributes: Attributes = NOTHING) -> bytes:
        """Open a file and return its handle."""
        reply = self.ask(OPEN, path, flags, attributes)
        assert reply.kind == HANDLE, reply.status
        return reply.text()

    def open_directory(self, path: str) -> bytes:
        """Open a directory and return its handle."""
        reply = self.ask(OPENDIR, path)
        assert reply.kind == HANDLE, reply.status
        return reply.text()
