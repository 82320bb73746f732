"""TCP inside the guest: connect to its ports, and watch its listening sockets.

Owns the stream of each connection and of each watch.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from ipaddress import ip_address
from types import TracebackType

from banger.errors import GuestProtocolError
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.deadlines import deadline
from banger.guest.fields import Fields, Tag, encode_fields, parse_fields, text, u64
from banger.guest.stream import Request, Stream

Listeners = frozenset[tuple[str, int]]
"""Addresses and ports of the guest's listening TCP sockets."""


class GuestTcp:
    """A TCP connection that the agent made inside the guest. Use it in an `async with`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def __aenter__(self) -> GuestTcp:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def read(self) -> bytes:
        """Return the next data, or b"" at the end."""
        taken = await self._stream.read()
        return b"" if taken is None else taken[1]

    async def write(self, data: bytes | memoryview) -> bool:
        """Send data as fast as the guest accepts it; False if the connection has ended."""
        return await self._stream.write(data)

    async def write_eof(self) -> None:
        """Shut down the direction to the guest; the other stays open."""
        await self._stream.write_eof()

    def close(self) -> None:
        """Reset the connection unless both directions have ended. Idempotent."""
        self._stream.give_up()


async def connect_tcp(
    connection: GuestConnection, host: str, port: int, *, deadline_s: float
) -> GuestTcp:
    """Connect to a port as seen from inside the guest; `host` is an IP address.

    Raises:
        GuestRefused: `guest_code` is `refused`, `unreachable` or `timeout`.
    """
    what = f"connecting to {host} port {port} in the guest"
    fields = encode_fields([(Tag.HOST, text(host)), (Tag.PORT, u64(port))])
    async with deadline(what, deadline_s):
        stream = await connection.open_stream(Request(Kind.CONNECT, what, fields))
        await stream.first_event()
    return GuestTcp(stream)


async def watch_listeners(connection: GuestConnection) -> AsyncGenerator[Listeners, None]:
    """Yield the listening sockets now, and again after changes; a slow reader gets the newest.

    Ends only with the connection's failure. Close the generator with `contextlib.aclosing`.
    """
    request = Request(Kind.LISTENERS, "watching the guest's listeners")
    async with await connection.open_stream(request) as stream:
        while (event := await stream.next_event()) is not None:
            yield _parse_listeners(event)


def _parse_listeners(event: Fields) -> Listeners:
    return frozenset(_parse_listener(value) for value in event.all(Tag.LISTENER))


def _parse_listener(untrusted: bytes) -> tuple[str, int]:
    fields = parse_fields(untrusted)
    try:
        host = str(ip_address(fields.text(Tag.HOST)))
    except ValueError as error:
        raise GuestProtocolError("The guest listens on what is no IP address.") from error
    return host, fields.u64(Tag.PORT, most=65535)
