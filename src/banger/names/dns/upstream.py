"""Queries passed on to the host's own nameservers, as they are, and answers on their way back.

Each has a socket of its own, so a port that nobody knows, and a number of its own; what comes back
must have the number and the question. The answer itself is not read: it is the guest's to judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from ipaddress import ip_address
from pathlib import Path

from banger.network.dnswire import Query

RESOLVER = Path("/etc/resolv.conf")
PORT = 53
MOST = 3
"""As many nameservers as a resolver asks (resolv.conf(5))."""
DEADLINE_S = 4.0
"""For one of them; a guest asks again after five seconds."""
_IS_ANSWER = 0x80

Server = tuple[str, int]


def load_nameservers(path: Path = RESOLVER) -> tuple[Server, ...]:
    """Return the nameservers that this host's programs ask."""
    with contextlib.suppress(OSError):
        return parse_nameservers(path.read_text("utf-8", "replace"))
    return ()


def parse_nameservers(untrusted_text: str) -> tuple[Server, ...]:
    """Return the nameservers in a resolv.conf(5)."""
    words = (line.split() for line in untrusted_text.splitlines())
    found = [two[1] for two in words if len(two) > 1 and two[0] == "nameserver"]
    return tuple((each, PORT) for each in found if _is_address(each))[:MOST]


def _is_address(word: str) -> bool:
    try:
        ip_address(word)
    except ValueError:
        return False
    return True


async def ask_upstream(
    untrusted_query: bytes, query: Query, servers: tuple[Server, ...], *, by_tcp: bool
) -> bytes | None:
    """Return the first answer of these servers, with the client's number; None: there is none."""
    number = secrets.token_bytes(2)
    message = number + untrusted_query[2:]
    for server in servers:
        try:
            async with asyncio.timeout(DEADLINE_S):
                untrusted_answer = await (_ask_tcp if by_tcp else _ask_udp)(server, message, query)
        except (OSError, EOFError):  # also TimeoutError
            continue
        return untrusted_query[:2] + untrusted_answer[2:]
    return None


async def _ask_udp(server: Server, message: bytes, query: Query) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as side:
        side.setblocking(False)
        side.connect(server)  # a datagram of anybody else's does not arrive
        side.send(message)
        while True:
            untrusted_answer = await loop.sock_recv(side, 1 << 16)
            if _is_answer(untrusted_answer, message, query):
                return untrusted_answer


async def _ask_tcp(server: Server, message: bytes, query: Query) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(message).to_bytes(2, "big") + message)
        size = int.from_bytes(await reader.readexactly(2), "big")
        untrusted_answer = await reader.readexactly(size)
    finally:
        writer.transport.abort()
    if not _is_answer(untrusted_answer, message, query):
        raise EOFError
    return untrusted_answer


def _is_answer(untrusted_answer: bytes, message: bytes, query: Query) -> bool:
    """Tell whether this answers the message: its number and its question; errors may have none."""
    if len(untrusted_answer) < 12 or not untrusted_answer[2] & _IS_ANSWER:
        return False
    question = untrusted_answer[12 : 12 + len(query.question)]
    is_same = question.lower() == query.question.lower() or untrusted_answer[4:6] == b"\0\0"
    return is_same and untrusted_answer[:2] == message[:2]
