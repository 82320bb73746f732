"""One connection of the guest: judged by its first bytes, then passed on.

To port 443 TLS alone goes, to port 80 HTTP, and the server that it names must be the name that was
connected to. On other ports a server may speak first; what begins as either is judged likewise.
Bytes are passed on as they came, but for a request's head (http.py); each direction waits for its
receiver, and ends by itself. What is refused, or breaks, is reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from banger.network.user.proxy.denials import Refused
from banger.network.user.proxy.hello import HANDSHAKE, NotTls, parse_hello
from banger.network.user.proxy.http import (
    NotHttp,
    Rewriter,
    find_server,
    is_request,
    render_refusal,
)
from banger.network.user.proxy.policy import Policy
from banger.network.user.proxy.secrets import Scan, Secrets
from banger.network.user.proxy.targets import Target, dial, require_allowed, require_answer

BEGINNING_S = 60.0
"""For a client to say what it wants, where it speaks first."""
REFUSAL_S = 5.0
PIECE_BYTES = 65536
HTTP_PORT, TLS_PORT = 80, 443
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)


@dataclass
class Flow:
    """A connection of the guest."""

    target: Target
    policy: Policy
    """The one that holds now; it may change at each wait."""
    secrets: Secrets = field(default_factory=Secrets)
    """As above."""
    address: IPv4Address | None = None
    """What it is connected to."""

    @property
    def is_bound(self) -> bool:
        """Tell whether a secret is for its target."""
        target = self.target
        return target.name is not None and self.secrets.is_for(target.name, target.port)

    @property
    def takes_tls_alone(self) -> bool:
        """Tell whether its target gets nothing but TLS."""
        return self.target.is_by_name and (self.target.port == TLS_PORT or self.is_bound)

    def require_allowed(self) -> None:
        """Check that it may go on.

        Raises:
            Refused: it may not.
        """
        require_allowed(self.target, self.policy)
        if self.address is not None and self.target.is_by_name:
            require_answer(self.target, self.address, self.policy)


async def read_first(client: socket.socket, flow: Flow) -> bytes:
    """Return what a client says first, which is allowed; empty where the server may speak first.

    Raises:
        Refused: it may not go on.
        OSError, TimeoutError: it is broken.
    """
    reset_when_closed(client)
    if not _speaks_first(flow):
        return b""
    async with asyncio.timeout(BEGINNING_S):
        return await _read_beginning(client, flow)


async def serve_flow(client: socket.socket, flow: Flow, beginning: bytes) -> None:
    """Pass a connection on until both directions have ended. The caller closes the client's.

    Raises:
        Refused: it may not go on.
        OSError, TimeoutError: it is broken.
    """
    with await dial(flow.target, flow.policy) as server:
        reset_when_closed(server)
        flow.address = IPv4Address(server.getpeername()[0])
        flow.require_allowed()
        async with asyncio.TaskGroup() as both:
            both.create_task(_pass_out(client, server, beginning, flow))
            both.create_task(_pass_on(server, client))
        end_when_closed(client)
        end_when_closed(server)


def _speaks_first(flow: Flow) -> bool:
    """Tell whether it is known what a client says first."""
    return flow.takes_tls_alone or (flow.target.is_by_name and flow.target.port == HTTP_PORT)


def reset_when_closed(side: socket.socket) -> None:
    """Have a connection reset, not ended, when its socket is closed."""
    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)


def end_when_closed(side: socket.socket) -> None:
    """Undo `reset_when_closed`."""
    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))


async def _pass_out(
    client: socket.socket, server: socket.socket, beginning: bytes, flow: Flow
) -> None:
    target = flow.target
    if target.is_by_name and not beginning:
        beginning = await _read_beginning(client, flow)
    if target.is_by_name and (target.port == HTTP_PORT or is_request(beginning)):
        await _pass_request(client, server, beginning, flow)
        return
    if beginning:
        await asyncio.get_running_loop().sock_sendall(server, beginning)
    await _pass_on(client, server)


async def _pass_request(
    client: socket.socket, server: socket.socket, piece: bytes, flow: Flow
) -> None:
    loop, rewriter, is_done = asyncio.get_running_loop(), Rewriter(), False
    target, scan = flow.target, Scan(str(flow.target))
    while not is_done:
        scan.feed(flow.secrets, piece)
        try:
            written, is_done = rewriter.feed(piece)
        except NotHttp as error:
            raise Refused(str(target), str(error)) from error
        await loop.sock_sendall(server, written)
        piece = await loop.sock_recv(client, PIECE_BYTES)
        if not piece and not is_done:
            raise ConnectionResetError
    while piece:  # goes nowhere
        piece = await loop.sock_recv(client, PIECE_BYTES)
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_WR)


async def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    piece = memoryview(bytearray(PIECE_BYTES))
    while count := await loop.sock_recv_into(source, piece):
        await loop.sock_sendall(sink, piece[:count])
    with contextlib.suppress(OSError):  # it has ended on that side
        sink.shutdown(socket.SHUT_WR)


async def _read_beginning(client: socket.socket, flow: Flow) -> bytes:
    """Return the first bytes of a client once they are allowed, or all that it said."""
    loop = asyncio.get_running_loop()
    data = b""
    try:
        while not is_judged(data, flow):
            piece = await loop.sock_recv(client, PIECE_BYTES)
            if not piece and _speaks_first(flow):
                raise ConnectionResetError
            if not piece:
                break
            data += piece
    except Refused as refused:
        if flow.target.port == HTTP_PORT:
            await _refuse_request(client, refused.why)
        raise
    return data


async def _refuse_request(client: socket.socket, why: str) -> None:
    """Tell why, and let the client read it: a socket that has more to read is reset when closed."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):  # it is gone, or takes too long
        async with asyncio.timeout(REFUSAL_S):
            end_when_closed(client)
            await loop.sock_sendall(client, render_refusal(why))
            client.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(client, PIECE_BYTES):
                pass


def is_judged(untrusted_data: bytes, flow: Flow) -> bool:
    """Tell whether a beginning is enough to judge a connection, and is allowed.

    Raises:
        Refused: it is not allowed.
    """
    if not untrusted_data:
        return False
    target, is_web = flow.target, flow.takes_tls_alone
    if is_web or (target.port != HTTP_PORT and untrusted_data[0] == HANDSHAKE):
        return _is_judged_tls(untrusted_data, target, is_web=is_web)
    is_http = target.port == HTTP_PORT or is_request(untrusted_data)
    if not is_http:
        return is_http is not None
    try:
        server = find_server(untrusted_data, target.port)
    except NotHttp as error:
        raise Refused(str(target), str(error)) from error
    if server not in (None, target.name):
        raise Refused(str(target), f"HTTP for {server}")
    return server is not None


def _is_judged_tls(untrusted_data: bytes, target: Target, *, is_web: bool) -> bool:
    try:
        hello = parse_hello(untrusted_data)
    except NotTls as error:
        if is_web:
            raise Refused(str(target), "not TLS") from error
        return True
    if hello is not None and hello.name != target.name and (hello.name or is_web):
        raise Refused(
            str(target), f"TLS for {hello.name}" if hello.name else "TLS without a server name"
        )
    return hello is not None
