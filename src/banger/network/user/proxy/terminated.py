"""A connection whose TLS ends here, since its host is one that secrets are for (ADR 0100).

    guest == TLS by the VM's own authority == requests, written anew == TLS, verified == server

Answers are passed on as they come; the connection is over when the server ends them. What is
refused is answered by 403 where the guest can still read that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from ipaddress import IPv4Address

from banger.network.user.proxy.denials import Refused
from banger.network.user.proxy.flows import (
    BEGINNING_S,
    REFUSAL_S,
    Flow,
    end_when_closed,
    reset_when_closed,
)
from banger.network.user.proxy.http import HEAD_MAX, render_refusal
from banger.network.user.proxy.requests import Requests
from banger.network.user.proxy.targets import dial
from banger.network.user.proxy.tls import PIECE_BYTES, Secured, Tls

CONTINUE, SWITCHING = range(100, 200), 101


async def serve_terminated(client: socket.socket, flow: Flow, beginning: bytes, tls: Tls) -> None:
    """Pass requests and answers on until the server ends.

    Raises:
        Refused: a request may not go on, or one of the two sides is not trusted.
        OSError, TimeoutError: it is broken.
    """
    guest = Secured(client, tls.server, beginning=beginning)
    try:
        async with asyncio.timeout(BEGINNING_S):
            await guest.shake_hands()
    except ssl.SSLError as error:  # such as a client that does not trust the authority
        raise Refused(str(flow.target), f"TLS with the guest: {error.reason}") from error
    try:
        with await dial(flow.target, flow.policy) as side:
            await _serve(guest, side, flow, tls)
    except* Refused as group:
        refused = group.exceptions[0]
        assert isinstance(refused, Refused)
        end_when_closed(client)
        await _tell(guest, client, refused.why)
        raise refused from None
    await guest.end()
    end_when_closed(client)


async def _serve(guest: Secured, side: socket.socket, flow: Flow, tls: Tls) -> None:
    target = flow.target
    assert target.name is not None
    reset_when_closed(side)
    flow.address = IPv4Address(side.getpeername()[0])
    flow.require_allowed()
    server = Secured(side, tls.client, server_name=target.name)
    try:
        async with asyncio.timeout(BEGINNING_S):
            await server.shake_hands()
    except ssl.SSLCertVerificationError as error:
        raise Refused(str(target), f"the server's certificate: {error.verify_message}") from error
    exchange = _Exchange(Requests(target.name, target.port), asyncio.Event())
    async with asyncio.TaskGroup() as both:
        sending = both.create_task(_send(guest, server, exchange, flow))
        await _answer(server, guest, exchange)
        sending.cancel()


@dataclass
class _Exchange:
    requests: Requests
    answered: asyncio.Event
    """The answer to what asked for another protocol has come."""


async def _send(guest: Secured, server: Secured, exchange: _Exchange, flow: Flow) -> None:
    requests = exchange.requests
    while piece := await guest.read():
        await server.write(requests.feed(piece, flow.secrets))
        while requests.asks_upgrade:
            await exchange.answered.wait()
            exchange.answered.clear()
            await server.write(requests.feed(b"", flow.secrets))
    server.hang_up()


async def _answer(server: Secured, guest: Secured, exchange: _Exchange) -> None:
    head = b""
    while piece := await server.read():
        await guest.write(piece)
        if not exchange.requests.asks_upgrade:
            head = b""
            continue
        head += piece
        status = read_status(head)
        if status is not None:
            exchange.requests.answered(switched=status == SWITCHING)
            exchange.answered.set()


def read_status(untrusted_head: bytes) -> int | None:
    """Return the status that answers begin with, of the first final one; None: more is needed."""
    while True:
        head, end, rest = untrusted_head.partition(b"\r\n\r\n")
        if not end:
            return None if len(head) < HEAD_MAX else 0
        digits = head[9:12]
        status = int(digits) if digits.isdigit() else 0
        if status not in CONTINUE or status == SWITCHING:
            return status
        untrusted_head = rest


async def _tell(guest: Secured, client: socket.socket, why: str) -> None:
    """Answer by a refusal, and let the client read it."""
    with contextlib.suppress(OSError):  # it is gone, or takes too long
        async with asyncio.timeout(REFUSAL_S):
            await guest.write(render_refusal(why))
            await guest.end()
            while await asyncio.get_running_loop().sock_recv(client, PIECE_BYTES):
                pass
