"""Listen in the guest for the host: remote forwards, and sockets such as an ssh agent's.

Owns the stream of each listening socket and of each connection that was taken. If this process
dies, the agent closes the sockets, removes their files, and resets what waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from ipaddress import ip_address

from banger.errors import GuestGone, GuestProtocolError, GuestRefused
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.deadlines import deadline
from banger.guest.fields import Fields, Tag, encode_fields, parse_fields, text, u64
from banger.guest.outdated import explain_outdated
from banger.guest.ports import REFUSALS, GuestTcp, connect_with, socket_path, user_field
from banger.guest.stream import Request, Stream

WAITING_MAX = 16
"""Connections that wait for the host (guest protocol, section 6)."""

Place = tuple[str, int]


@dataclass(frozen=True)
class Incoming:
    """A connection that was taken. `peer`: address and port in the guest; None: a Unix socket."""

    socket: GuestTcp
    peer: Place | None


class GuestListener:
    """A socket that listens in the guest. Use it in an `async with`.

    `place`: address and port; `path`: of a Unix socket. One of the two is None.
    """

    def __init__(self, connection: GuestConnection, stream: Stream, first: Fields) -> None:
        self.place = None if first.find(Tag.PATH) else _parse_place(first)
        self.path = first.find(Tag.PATH)
        self._connection = connection
        self._stream = stream
        self._waiting: deque[tuple[int, Place | None]] = deque()
        self._last = 0
        self._note(first)

    async def __aenter__(self) -> GuestListener:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def accept(self, *, deadline_s: float) -> Incoming:
        """Wait for the next connection, as long as it takes, and take it before the deadline.

        Raises:
            GuestRefused: the connection could not be taken; the listener goes on.
        """
        while not self._waiting:
            event = await self._stream.next_event()
            if event is None:
                raise GuestGone("The guest has stopped listening.")
            self._note(event)
        number, peer = self._waiting.popleft()
        fields = encode_fields([(Tag.NUMBER, u64(number))])
        request = Request(Kind.ACCEPT, "taking a connection of the guest", fields)
        socket = await connect_with(self._connection, request, deadline_s=deadline_s)
        return Incoming(socket, peer)

    def close(self) -> None:
        """Stop listening; connections that were taken go on. Idempotent."""
        self._stream.give_up()

    def _note(self, event: Fields) -> None:
        """Queue the connections that are new in an event, which has all that wait."""
        values = event.all(Tag.CONNECTION)
        if len(values) > WAITING_MAX:
            raise GuestProtocolError(
                "The guest reports more waiting connections than are possible."
            )
        found = sorted(map(_parse_connection, values), key=lambda each: each[0])
        self._waiting.extend(each for each in found if each[0] > self._last)
        if len(self._waiting) > WAITING_MAX:
            raise GuestProtocolError("The guest offers connections without limit.")
        if found:
            self._last = max(self._last, found[-1][0])


async def listen_tcp(
    connection: GuestConnection,
    host: str,
    port: int,
    *,
    user: str | None = None,
    deadline_s: float,
) -> GuestListener:
    """Listen on an IP address and port of the guest (0: any port) with the rights of a user.

    Raises:
        ExecNoSuchUser: the guest does not know the user.
        GuestRefused: `guest_code` is `in-use`, `denied` or `unreachable`, or the agent is too old.
    """
    fields = [(Tag.HOST, text(host)), (Tag.PORT, u64(port)), *user_field(user)]
    return await _listen(connection, f"listening on {host} port {port}", fields, deadline_s)


async def listen_unix(
    connection: GuestConnection,
    path: bytes | None,
    *,
    user: str | None = None,
    deadline_s: float,
) -> GuestListener:
    """Listen at a path in the guest; None: at a new one, in a new directory of the user's alone.

    Raises:
        InvalidRequest: the path is not absolute, or too long for a socket.
        ExecNoSuchUser, GuestRefused: as `listen_tcp`, and `not-found`.
    """
    fields = user_field(user)
    if path is not None:
        fields.append((Tag.PATH, socket_path(path)))
    return await _listen(connection, "listening on a Unix socket", fields, deadline_s)


async def _listen(
    connection: GuestConnection, what: str, fields: list[tuple[Tag, bytes]], deadline_s: float
) -> GuestListener:
    request = Request(Kind.LISTEN, f"{what} in the guest", encode_fields(fields), REFUSALS)
    async with deadline(request.what, deadline_s):
        stream = await connection.open_stream(request)
        try:
            first = await stream.first_event()
            return GuestListener(connection, stream, first)
        except GuestRefused as error:
            raise explain_outdated(error, "listen for its host") from error
        except GuestProtocolError:
            stream.give_up()
            raise


def _parse_connection(untrusted: bytes) -> tuple[int, Place | None]:
    fields = parse_fields(untrusted)
    peer = _parse_place(fields) if fields.find(Tag.HOST) is not None else None
    return fields.u64(Tag.NUMBER), peer


def _parse_place(fields: Fields) -> Place:
    try:
        host = str(ip_address(fields.text(Tag.HOST)))
    except ValueError as error:
        raise GuestProtocolError("The guest sent an invalid IP address.") from error
    return host, fields.u64(Tag.PORT, most=65535)
