"""A SOCKS 5 proxy to `NAME.vm`, for programs that take `ALL_PROXY=socks5h://...` (RFC 1928).

A program gives the name and the port of the guest to the proxy instead of a resolver, so that it
needs neither a resolver for `.vm` nor a port that an ordinary user may listen on. Nothing but the
guests of running VMs is reached: another name, or any address, is answered with "not allowed by
ruleset". There is no way out of this host here, and no way to its own ports.

Nobody is asked who they are, as at the front (`front.py`). A page in a browser cannot speak SOCKS:
the first byte of an HTTP request ends the connection.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum

from banger.forwards import relay
from banger.names.answers import Refusal
from banger.names.guests import Find, reach
from banger.names.links import Destination, parse_vm_domain
from banger.names.pipes import HostSocket

VERSION, CONNECT = 5, 1
NO_AUTHENTICATION, NO_ACCEPTABLE_METHOD = 0, 0xFF
IPV4, DOMAIN, IPV6 = 1, 3, 4
_ADDRESS_BYTES = {IPV4: 4, IPV6: 16}
REQUEST_S = 60.0
"""For a client to say where it wants to."""


class Reply(IntEnum):
    """The proxy's answer to a request (RFC 1928, section 6)."""

    SUCCEEDED = 0
    NOT_ALLOWED = 2
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8

    def encode(self) -> bytes:
        """Return the answer; the address that it names is of no use to a client, and is zero."""
        return bytes((VERSION, self, 0, IPV4, *bytes(6)))


_REPLIES = {404: Reply.HOST_UNREACHABLE, 502: Reply.CONNECTION_REFUSED}
"""By the status of the page that a browser would get."""


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply


class _Words:
    """What a client says, taken in pieces of known size."""

    def __init__(self, client: HostSocket) -> None:
        self._client = client
        self.rest = bytearray()
        """What came and was not taken yet."""

    async def take(self, size: int) -> bytes:
        """Return this many bytes.

        Raises:
            ConnectionError: the client ended before.
        """
        while len(self.rest) < size:
            data = await self._client.read()
            if not data:
                raise ConnectionError(
                    "A SOCKS client closed the connection before its request was complete."
                )
            self.rest += data
        taken = bytes(self.rest[:size])
        del self.rest[:size]
        return taken


async def serve_socks(client: HostSocket, find: Find) -> None:
    """Serve one client: a request, and the connection that it asks for.

    Raises:
        OSError, BangerError: the connection broke, or the client speaks no SOCKS 5.
    """
    words = _Words(client)
    try:
        async with asyncio.timeout(REQUEST_S):
            await _greet(client, words)
            destination = await _take_request(words)
        async with reach(find, destination) as tcp:
            await client.write(Reply.SUCCEEDED.encode())
            if await tcp.write(bytes(words.rest)):
                await relay(client.sock, tcp)
    except _Refused as refused:
        await _refuse(client, refused.reply)
    except Refusal as refusal:
        await _refuse(client, _REPLIES.get(refusal.status, Reply.HOST_UNREACHABLE))


async def _greet(client: HostSocket, words: _Words) -> None:
    version, count = await words.take(2)
    if version != VERSION:
        raise ConnectionError("A client of the SOCKS port does not speak SOCKS 5.")
    methods = await words.take(count)
    if NO_AUTHENTICATION not in methods:
        await client.write(bytes((VERSION, NO_ACCEPTABLE_METHOD)))
        await client.linger()
        raise ConnectionError("A SOCKS client insists on a password.")
    await client.write(bytes((VERSION, NO_AUTHENTICATION)))


async def _take_request(words: _Words) -> Destination:
    version, command, _, kind = await words.take(4)
    if version != VERSION:
        raise ConnectionError("A SOCKS client changes its version.")
    untrusted_name = await _take_address(words, kind)
    port = int.from_bytes(await words.take(2), "big")
    if command != CONNECT:
        raise _Refused(Reply.COMMAND_NOT_SUPPORTED)
    name = parse_vm_domain(untrusted_name)
    if name is None or port == 0:
        raise _Refused(Reply.NOT_ALLOWED)
    return Destination(name, port)


async def _take_address(words: _Words, kind: int) -> bytes:
    """Return the name that is asked for; b"" for an address."""
    if kind == DOMAIN:
        (size,) = await words.take(1)
        return await words.take(size)
    if kind not in _ADDRESS_BYTES:
        raise _Refused(Reply.ADDRESS_TYPE_NOT_SUPPORTED)
    await words.take(_ADDRESS_BYTES[kind])
    return b""


async def _refuse(client: HostSocket, reply: Reply) -> None:
    await client.write(reply.encode())
    await client.linger()
