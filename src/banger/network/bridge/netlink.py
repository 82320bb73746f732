"""What the kernel is asked by netlink(7): to change devices, and elements of sets of nft.

Standard library only. Needs CAP_NET_ADMIN for what it changes; nothing is kept. A request is done
when `ask` returns, so whoever dies before that has asked for all of it or for nothing.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

ROUTE, NETFILTER = 0, 12
ACKNOWLEDGE, DUMP, CREATE = 0x4, 0x300, 0x400
DEADLINE_S = 30
_REQUEST = 0x1
_ERROR, _DONE = 2, 3
_INTERRUPTED = 0x10
"""What a dump lists has changed meanwhile, so something may be missing."""
_MESSAGE = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_KIND_OF_ATTRIBUTE = 0x3FFF
"""Without the flags for nested ones and for the order of bytes."""


def ask(protocol: int, request: bytes) -> list[bytes]:
    """Send messages, the last of which is answered at its end; return what comes before that.

    Raises:
        OSError: the kernel has refused one of them.
    """
    answers: list[bytes] = []
    is_torn = False
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as side:
        side.settimeout(DEADLINE_S)
        side.send(request)
        while True:
            for kind, flags, content in _parse_messages(side.recv(1 << 17)):
                is_torn |= bool(flags & _INTERRUPTED)
                if kind in (_DONE, _ERROR):
                    _require_done(content)
                    return ask(protocol, request) if is_torn else answers
                answers.append(content)


def _require_done(content: bytes) -> None:
    (status,) = struct.unpack_from("=i", content)
    if status:
        raise OSError(-status, os.strerror(-status))


def render_message(kind: int, flags: int, content: bytes) -> bytes:
    """Return a message that asks for something."""
    return _MESSAGE.pack(_MESSAGE.size + len(content), kind, flags | _REQUEST, 0, 0) + content


def render_attribute(kind: int, *values: bytes) -> bytes:
    """Return an attribute of a message, or of another attribute."""
    value = b"".join(values)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def parse_attributes(content: bytes) -> dict[int, bytes]:
    """Return the attributes that the kernel has sent, by kind."""
    return {
        kind & _KIND_OF_ATTRIBUTE: value[_ATTRIBUTE.size :]
        for (_, kind), value in _parse(_ATTRIBUTE, content)
    }


def _parse_messages(received: bytes) -> Iterator[tuple[int, int, bytes]]:
    for (_, kind, flags, *_), message in _parse(_MESSAGE, received):
        yield kind, flags, message[_MESSAGE.size :]


def _parse(header: struct.Struct, content: bytes) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield what begins with such a header, of which the first number is the length of both."""
    at = 0
    while at + header.size <= len(content):
        fields = header.unpack_from(content, at)
        yield fields, content[at : at + fields[0]]
        at += max(header.size, fields[0] + -fields[0] % 4)
