"""HTTP/1.1 between a client of the front and guests, one request after the other.

Each request goes where its own Host leads, over a connection of its own into the guest, which is
told to close it (`Connection: close`): so a client that keeps its connection, also a proxy that
sends requests for several VMs through one, reaches what each request names, and no idle connection
takes one of a guest's few streams. h11 parses both sides and writes anew what it has understood, so
that front and guest cannot see two different requests in the same bytes.

Bodies are passed on as they come, both ways at once, each piece when the one before was taken; so
are interim answers (100, 103). Of `Upgrade` (WebSocket) what follows the guest's 101 is passed on
unread. `Upgrade: h2c` is not: RFC 9113 has given it up, and its requests would not be seen here.

The end of a client's direction is passed on, and a connection that breaks before the end of an
answer is reset on the other side: nobody takes half an answer for a whole one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import cast

import h11

from banger.errors import BangerError
from banger.forwards import relay
from banger.guest import GuestTcp
from banger.names.answers import Refusal, render_page
from banger.names.guests import Find, reach
from banger.names.links import parse_host
from banger.names.pipes import HostSocket, Pipe

HEAD_MAX = 64 * 1024
"""Bytes of the head of a request or an answer."""
REQUEST_S = 60.0
"""For a client to send the head of its next request."""

Fields = list[tuple[bytes, bytes]]
Event = (
    h11.Request
    | h11.InformationalResponse
    | h11.Response
    | h11.Data
    | h11.EndOfMessage
    | h11.ConnectionClosed
)

_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"))
"""Fields of one connection alone (RFC 9110, section 7.6.1)."""
_KEPT = frozenset((b"host", b"content-length", b"transfer-encoding"))
"""Fields that say where a message goes and ends: never dropped because `Connection` names them."""


class _Side:
    """One side of a conversation: its bytes, and what h11 makes of them."""

    def __init__(self, pipe: Pipe, role: type[h11.CLIENT] | type[h11.SERVER]) -> None:
        self.pipe = pipe
        self.http = h11.Connection(role, max_incomplete_event_size=HEAD_MAX)

    async def next_event(self) -> Event:
        """Return the next event of a message that is not at its end.

        Raises:
            h11.RemoteProtocolError: the other side breaks the rules, or ended too early.
        """
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.pipe.read())
        return cast("Event", event)  # h11.PAUSED comes after the end alone

    async def send(self, event: Event) -> bool:
        """Send an event; False if the other side takes no more."""
        data = self.http.send(event)
        return not data or await self.pipe.write(data)


async def serve_http1(client: HostSocket, head: bytes, find: Find) -> None:
    """Serve requests until the client or an error ends the connection; `head`: its first bytes."""
    side = _Side(client, h11.SERVER)
    side.http.receive_data(head)
    while await _serve_request(client, side, find):
        side.http.start_next_cycle()


async def _serve_request(client: HostSocket, side: _Side, find: Find) -> bool:
    """Serve the next request; return whether another may follow."""
    request = None
    try:
        request = await _next_request(side)
        if request is None:
            return False
        async with reach(find, parse_host(_host_of(request))) as tcp:
            await _exchange(client, side, tcp, request)
    except Refusal as refusal:
        if side.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            raise ConnectionError(refusal.fact) from refusal
        await _refuse(side, refusal, request)
    states = side.http.states
    if states[h11.SERVER] is h11.DONE and states[h11.CLIENT] is h11.DONE:
        return True
    if states[h11.SERVER] in (h11.DONE, h11.MUST_CLOSE):
        await client.linger()
    return False


async def _next_request(side: _Side) -> h11.Request | None:
    """Return the next request, or None if the client has closed, or is silent for too long."""
    try:
        async with asyncio.timeout(REQUEST_S):
            event = await side.next_event()
    except TimeoutError:
        return None
    except h11.RemoteProtocolError as error:
        raise _bad_request(error) from error
    if not isinstance(event, h11.Request):
        return None
    if not event.target.startswith(b"/") and event.target != b"*":
        raise Refusal(400, "This port is not a proxy: a request must name a path.")
    return event


def _host_of(request: h11.Request) -> bytes:
    host = _find_field(request, b"host")
    if not host:
        raise Refusal(400, "The request names no host.")
    return host


def _find_field(message: h11.Request | h11.Response, name: bytes) -> bytes:
    return next((value for key, value in message.headers if key == name), b"")


def _bad_request(error: h11.RemoteProtocolError) -> Refusal:
    status = error.error_status_hint if error.error_status_hint in (431, 501) else 400
    return Refusal(status, "The request is not valid HTTP/1.1.")


# --- one exchange -----------------------------------------------------------


async def _exchange(client: HostSocket, side: _Side, tcp: GuestTcp, request: h11.Request) -> None:
    """Send a request into the guest and its answer to the client.

    Raises:
        Refusal: one of them breaks the rules.
        OSError, BangerError: a connection broke.
    """
    guest = _Side(tcp, h11.CLIENT)
    await guest.send(plan_request(request))
    asking = asyncio.create_task(_pass_request(side, guest))
    answering = asyncio.create_task(_pass_answer(side, guest, request))
    try:
        pending: set[asyncio.Task[None]] = {asking, answering}
        while answering in pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        asking.cancel()
        answering.cancel()
        await asyncio.gather(asking, answering, return_exceptions=True)
    if side.http.our_state is h11.SWITCHED_PROTOCOL:
        await _switch(client, side, guest, tcp)


async def _pass_request(side: _Side, guest: _Side) -> None:
    """Pass on a request's body; then see whether the client ends, or sends its next request."""
    try:
        while not isinstance(event := await side.next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data)
            if not await guest.send(h11.Data(data=event.data)):
                return  # the guest has answered, or its answer ends with an error
    except h11.RemoteProtocolError as error:
        raise _bad_request(error) from error
    await guest.send(h11.EndOfMessage(headers=event.headers))
    data = await side.pipe.read()
    side.http.receive_data(data)
    if not data:
        await guest.pipe.write_eof()


async def _pass_answer(side: _Side, guest: _Side, request: h11.Request) -> None:
    try:
        while True:
            event = await guest.next_event()
            if isinstance(event, h11.InformationalResponse | h11.Response):
                if not await _pass_head(side, event, request):
                    return
            elif isinstance(event, h11.EndOfMessage):
                await side.send(h11.EndOfMessage(headers=event.headers))
                return
            else:
                assert isinstance(event, h11.Data)
                await side.send(h11.Data(data=event.data))
    except h11.RemoteProtocolError as error:
        raise Refusal(502, "The answer of the server in the VM is not valid HTTP/1.1.") from error
    except BangerError as error:
        raise Refusal(502, error.message) from error


async def _pass_head(
    side: _Side, event: h11.InformationalResponse | h11.Response, request: h11.Request
) -> bool:
    """Pass on the head of an answer; False: the protocol is another from here on."""
    if isinstance(event, h11.Response):
        await side.send(plan_answer(event))
        return True
    if event.status_code == 101:
        await side.send(plan_switch(event))
        return False
    if request.http_version >= b"1.1":
        await side.send(plan_answer(event))
    return True


async def _switch(client: HostSocket, side: _Side, guest: _Side, tcp: GuestTcp) -> None:
    """Pass on bytes of another protocol, beginning with those that came already."""
    if await tcp.write(side.http.trailing_data[0]):
        await client.write(guest.http.trailing_data[0])
        await relay(client.sock, tcp)


async def _refuse(side: _Side, refusal: Refusal, request: h11.Request | None) -> None:
    """Answer with a page, and close the connection if the request is not known to its end."""
    if side.http.their_state is h11.SEND_BODY:
        with contextlib.suppress(h11.RemoteProtocolError):
            side.http.next_event()  # the end, if the request has no body
    page = render_page(refusal, accept=_find_field(request, b"accept") if request else b"")
    fields = [(name.encode(), value.encode()) for name, value in page.fields]
    if side.http.their_state not in (h11.DONE, h11.MUST_CLOSE):
        fields.append((b"connection", b"close"))
    head = h11.Response(status_code=refusal.status, headers=fields, reason=refusal.phrase.encode())
    await side.send(head)
    if request is None or request.method != b"HEAD":
        await side.send(h11.Data(data=page.body))
    await side.send(h11.EndOfMessage())


# --- what is passed on: pure ------------------------------------------------


def plan_request(request: h11.Request) -> h11.Request:
    """Return the request that the guest gets: the client's, without what concerns the front."""
    fields = list(_keep_fields(request.headers))
    upgrade = _find_upgrade(request.headers)
    if upgrade:
        fields += [(b"Connection", b"Upgrade"), (b"Upgrade", upgrade)]
    else:
        fields.append((b"Connection", b"close"))
    return h11.Request(method=request.method, target=request.target, headers=fields)


def plan_answer(
    answer: h11.Response | h11.InformationalResponse,
) -> h11.Response | h11.InformationalResponse:
    """Return the head that the client gets; h11 adds whether the connection goes on."""
    fields = list(_keep_fields(answer.headers))
    return type(answer)(status_code=answer.status_code, headers=fields, reason=bytes(answer.reason))


def plan_switch(answer: h11.InformationalResponse) -> h11.InformationalResponse:
    """Return the 101 that the client gets."""
    fields = list(_keep_fields(answer.headers))
    fields += [(b"Connection", b"Upgrade"), (b"Upgrade", _join(answer.headers, b"upgrade"))]
    return h11.InformationalResponse(status_code=101, headers=fields, reason=bytes(answer.reason))


def _keep_fields(headers: h11._headers.Headers) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields that are not of one connection alone, as they were written."""
    named = {word.strip() for word in _join(headers, b"connection").lower().split(b",")}
    dropped = (named | _HOP) - _KEPT
    for written, value in headers.raw_items():
        if written.lower() not in dropped:
            yield written, value


def _find_upgrade(headers: h11._headers.Headers) -> bytes:
    """Return the protocols that a client would change to, of those that can be passed on."""
    named = _join(headers, b"connection").lower()
    offered = [word.strip() for word in _join(headers, b"upgrade").split(b",")]
    passed = [word for word in offered if word and word.lower() != b"h2c"]
    return b", ".join(passed) if b"upgrade" in named else b""


def _join(headers: h11._headers.Headers, name: bytes) -> bytes:
    return b", ".join(value for key, value in headers if key == name)
