"""Sockets inside the guest: connect to its ports and Unix sockets, watch what listens.

Owns the stream of each connection and of each watch.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from ipaddress import ip_address

from banger.errors import ExecNoSuchUser, GuestProtocolError, GuestRefused, InvalidRequest
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.deadlines import deadline
from banger.guest.fields import Fields, Tag, encode_fields, name, parse_fields, text, u64
from banger.guest.outdated import explain_outdated
from banger.guest.stream import Request, Stream

SOCKET_PATH_MAX = 107
"""Bytes of a Unix socket's path on Linux."""

REFUSALS = {"no-such-user": ExecNoSuchUser}

Listeners = frozenset[tuple[str, int]]
"""Addresses and ports of the guest's listening TCP sockets."""


class GuestTcp:
    """A connection that the agent made inside the guest. Use it in an `async with`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def __aenter__(self) -> GuestTcp:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def read(self) -> bytes:
        """Return the next data, or b"" at the end.

        Raises:
            GuestRefused: the peer reset the connection (`guest_code` is `reset`).
        """
        taken = await self._stream.read()
        return b"" if taken is None else taken[1]

    async def pass_to(self, sock: socket.socket) -> None:
        """Send what comes to a socket that does not block, up to the end.

        Raises:
            OSError: the socket's connection broke.
            GuestRefused: as `read`.
        """

        def send(untrusted_data: bytes | memoryview) -> int:
            try:
                return sock.send(untrusted_data)
            except OSError:  # full, or broken: the next write below says which
                return 0

        loop = asyncio.get_running_loop()
        while taken := await self._stream.read_beside(send):
            await loop.sock_sendall(sock, taken[1])

    async def write(self, data: bytes | memoryview) -> bool:
        """Send data as fast as the guest accepts it; False if the connection has ended."""
        return await self._stream.write(data)

    async def write_eof(self) -> None:
        """Shut down the direction to the guest; the other stays open."""
        await self._stream.write_eof()

    async def wait_ended(self) -> None:
        """Wait until both directions have ended, and so the peer has taken all that was sent.

        Raises:
            GuestRefused: the connection broke, or was closed.
        """
        await self._stream.result()

    def close(self) -> None:
        """Reset the connection unless both directions have ended. Idempotent.

        What was written and has not arrived is lost: `write_eof`, `read` to the end and
        `wait_ended` come before.
        """
        self._stream.give_up()


async def connect_tcp(
    connection: GuestConnection, host: str, port: int, *, deadline_s: float | None
) -> GuestTcp:
    """Connect to a port as seen from inside the guest; `host` is an IP address.

    `deadline_s` None: wait as long as the guest takes, which may be paused.

    Raises:
        GuestRefused: `guest_code` is `refused`, `unreachable` or `timeout`.
    """
    what = f"connecting to {host} port {port} in the guest"
    fields = encode_fields([(Tag.HOST, text(host)), (Tag.PORT, u64(port))])
    return await connect_with(
        connection, Request(Kind.CONNECT, what, fields), deadline_s=deadline_s
    )


async def connect_unix(
    connection: GuestConnection, path: bytes, *, user: str | None = None, deadline_s: float | None
) -> GuestTcp:
    """Connect to a Unix socket in the guest, with the rights of a user; default: root.

    `deadline_s` None: wait as long as the guest takes, which may be paused.

    Raises:
        InvalidRequest: the path is not absolute, or too long for a socket.
        ExecNoSuchUser: the guest does not know the user.
        GuestRefused: `guest_code` is `refused`, `not-found` or `denied`, or the agent is too old.
    """
    what = f"connecting to {path.decode('utf-8', 'replace')} in the guest"
    fields = encode_fields([(Tag.PATH, socket_path(path)), *user_field(user)])
    request = Request(Kind.CONNECT, what, fields, REFUSALS)
    try:
        return await connect_with(connection, request, deadline_s=deadline_s)
    except GuestRefused as error:
        raise explain_outdated(error, "connect to Unix sockets") from error


async def connect_with(
    connection: GuestConnection, request: Request, *, deadline_s: float | None
) -> GuestTcp:
    """Open a connection by a request that answers with an EVENT when it stands."""
    async with deadline(request.what, deadline_s):
        stream = await connection.open_stream(request)
        await stream.first_event()
    return GuestTcp(stream)


def socket_path(path: bytes) -> bytes:
    """Return the value of a PATH that names a Unix socket.

    Raises:
        InvalidRequest: it is not absolute, or longer than the kernel's limit.
    """
    if not path.startswith(b"/") or len(path) > SOCKET_PATH_MAX:
        raise InvalidRequest(
            f"{path!r:.200} is not an absolute path of at most {SOCKET_PATH_MAX} bytes."
        )
    return name(path)


def user_field(user: str | None) -> list[tuple[Tag, bytes]]:
    """Return the field for a user, if there is one."""
    return [(Tag.USER, text(user))] if user else []


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
        raise GuestProtocolError("The guest sent an invalid IP address.") from error
    return host, fields.u64(Tag.PORT, most=65535)
