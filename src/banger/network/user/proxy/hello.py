"""The server name that TLS begins with (RFC 8446, 4.1.2; RFC 6066, section 3). Pure.

A hello may come in any number of pieces and records; it is read once it is whole, and at most
`HELLO_MAX` bytes are waited for. Of an encrypted hello (RFC 9849) the outer name is read, which is
what the network is told; browsers send what looks like one always.
"""

from __future__ import annotations

from dataclasses import dataclass

HELLO_MAX = 65536
HANDSHAKE, CLIENT_HELLO, SERVER_NAME, HOST_NAME = 22, 1, 0, 0


class NotTls(Exception):
    """What came is no hello of a client."""


@dataclass(frozen=True)
class Hello:
    """A client's hello."""

    name: str | None
    """In lower case."""


class _Reader:
    """Bytes that are read from front to back; too few are no hello."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise NotTls
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))

    def is_at_end(self) -> bool:
        return self._at == len(self._data)


def parse_hello(untrusted_data: bytes) -> Hello | None:
    """Return the hello that a connection begins with; None: it is not whole yet.

    Raises:
        NotTls: it is none, or too long.
    """
    message, at = b"", 0
    while at < len(untrusted_data):
        header = untrusted_data[at : at + 5]
        if header[0] != HANDSHAKE or (len(header) > 1 and header[1] != 3):
            raise NotTls
        size = int.from_bytes(header[3:], "big")
        if len(header) == 5 and not 0 < size <= 1 << 14:
            raise NotTls
        if len(header) < 5 or at + 5 + size > len(untrusted_data):
            break
        message += untrusted_data[at + 5 : at + 5 + size]
        at += 5 + size
        whole = _length(message)
        if whole is not None and len(message) >= whole:
            return _parse_body(message[4:whole])
    if len(untrusted_data) > HELLO_MAX:
        raise NotTls
    return None


def _length(message: bytes) -> int | None:
    """Return the length of a handshake message; None: its header is not whole."""
    if message[0] != CLIENT_HELLO:
        raise NotTls
    length = 4 + int.from_bytes(message[1:4], "big")
    if len(message) >= 4 and length > HELLO_MAX:
        raise NotTls
    return length if len(message) >= 4 else None


def _parse_body(body: bytes) -> Hello:
    reader = _Reader(body)
    reader.take(2 + 32)  # version, random
    for size in (1, 2, 1):  # session, ciphers, compressions
        reader.vector(size)
    names = []
    extensions = _Reader(b"" if reader.is_at_end() else reader.vector(2))
    if not reader.is_at_end():
        raise NotTls
    while not extensions.is_at_end():
        kind, data = extensions.number(2), extensions.vector(2)
        if kind == SERVER_NAME:
            names.append(_parse_server_name(data))
    if len(names) > 1:
        raise NotTls
    return Hello(names[0] if names else None)


def _parse_server_name(data: bytes) -> str:
    reader = _Reader(data)
    entries = _Reader(reader.vector(2))
    kind, name = entries.number(1), entries.vector(2)
    if kind != HOST_NAME or not entries.is_at_end() or not reader.is_at_end() or not name:
        raise NotTls
    try:
        return name.decode("ascii").lower()
    except UnicodeDecodeError as error:
        raise NotTls from error
