"""Datagrams to a UDP port of the guest, and the answers.

Owns the stream of each conversation: one for each client of the host, since answers go to one port
of the guest. The host ends unused conversations; if this process dies, the agent does.
"""

from __future__ import annotations

import struct

from banger.errors import GuestProtocolError, GuestRefused, InvalidRequest
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.deadlines import deadline
from banger.guest.fields import Tag, encode_fields, text, u64
from banger.guest.outdated import explain_outdated
from banger.guest.stream import Request, Stream

DATAGRAM_MAX = 65535
_LENGTH = struct.Struct("<I")


class Records:
    """Splits the guest's bytes into datagrams; holds at most one and one read."""

    def __init__(self) -> None:
        self._untrusted = bytearray()

    def feed(self, untrusted: bytes) -> None:
        """Add the next bytes."""
        self._untrusted += untrusted

    def next(self) -> bytes | None:
        """Return the next datagram, or None if more bytes are needed.

        Raises:
            GuestProtocolError: a datagram is larger than there can be.
        """
        if len(self._untrusted) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._untrusted)
        if size > DATAGRAM_MAX:
            raise GuestProtocolError(f"The guest sent a datagram of {size} bytes.")
        end = _LENGTH.size + size
        if len(self._untrusted) < end:
            return None
        datagram = bytes(self._untrusted[_LENGTH.size : end])
        del self._untrusted[:end]
        return datagram


class GuestUdp:
    """A conversation with one UDP port of the guest. Use it in an `async with`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._records = Records()

    async def __aenter__(self) -> GuestUdp:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def send(self, datagram: bytes) -> bool:
        """Send a datagram; False if the conversation has ended."""
        if len(datagram) > DATAGRAM_MAX:
            raise InvalidRequest(f"A datagram has at most {DATAGRAM_MAX} bytes.")
        return await self._stream.write(_LENGTH.pack(len(datagram)) + datagram)

    async def receive(self) -> bytes | None:
        """Wait for the next datagram of the guest; None at the end of the conversation.

        Raises:
            GuestProtocolError: the guest sent what is no datagram.
        """
        while (datagram := self._records.next()) is None:
            taken = await self._stream.read()
            if taken is None:
                return None
            self._records.feed(taken[1])
        return datagram

    def close(self) -> None:
        """End the conversation. Idempotent."""
        self._stream.give_up()


async def open_udp(
    connection: GuestConnection, host: str | None, port: int, *, deadline_s: float | None
) -> GuestUdp:
    """Open a conversation with a port as seen from inside the guest.

    `host` is an IP address; None: the guest's loopback, of whichever family somebody receives there
    (I1). `deadline_s` None: wait as long as the guest takes, which may be paused.

    Raises:
        GuestRefused: the agent is too old to relay UDP.
    """
    what = f"opening UDP to {host or 'the loopback'} port {port} in the guest"
    address = [] if host is None else [(Tag.HOST, text(host))]
    fields = encode_fields([*address, (Tag.PORT, u64(port))])
    async with deadline(what, deadline_s):
        stream = await connection.open_stream(Request(Kind.UDP, what, fields))
        try:
            await stream.first_event()
        except GuestRefused as error:
            raise explain_outdated(error, "relay UDP") from error
    return GuestUdp(stream)
