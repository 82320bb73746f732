"""HTTP/2 in the clear (h2c, by prior knowledge): one connection of a client, one VM.

The first request's `:authority` leads to the VM; from then on all frames are passed on as they are,
but the client's are looked at: a request for another authority ends the connection, since it would
reach the wrong VM (RFC 9113, section 9.1.1, lets clients send one only to a server that is known to
answer for both). Field blocks depend on each other (HPACK), so each one is decoded.

Many clients send no request before the server's SETTINGS have come, so the front sends empty ones,
which change nothing, and keeps the client's acknowledgement of them from the guest; the guest's own
SETTINGS follow.

What a client may make the front hold is bounded: one frame at a time, `HEAD_MAX` bytes of a field
block, `TABLE_MAX` bytes of its decoder's table.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple

from hpack import Decoder, Encoder, HPACKError

from banger.errors import BangerError
from banger.forwards import reset_when_closed
from banger.guest import GuestTcp
from banger.names.answers import Refusal, render_page
from banger.names.guests import Find, reach
from banger.names.links import Destination, parse_host
from banger.names.pipes import HostSocket

FRAME_MAX = 2**20
"""Bytes of a frame's payload; servers rarely allow more than 16 KiB."""
HEAD_MAX = 64 * 1024
TABLE_MAX = 64 * 1024
"""Bytes of the decoder's table; servers leave it at 4096 (RFC 9113, section 6.5.2)."""
BEGINNING_MAX = 256 * 1024
"""Bytes that a client may send before its first request is whole."""
FIRST_REQUEST_S = 60.0

DATA, HEADERS, SETTINGS, GOAWAY, CONTINUATION = 0x0, 0x1, 0x4, 0x7, 0x9
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL_ERROR = 0, 1


class Frame(NamedTuple):
    """A frame (RFC 9113, section 4.1)."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    def encode(self) -> bytes:
        """Return the frame as it is sent."""
        head = len(self.payload).to_bytes(3, "big") + bytes((self.kind, self.flags))
        return head + self.stream.to_bytes(4, "big") + self.payload


class Broken(Exception):
    """The client breaks the rules, or asks for another VM than before."""


class Requests:
    """What a client sends, cut into frames, with the authority of each request. Does no I/O."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._decoder = Decoder(max_header_list_size=HEAD_MAX)
        self._decoder.max_allowed_table_size = TABLE_MAX
        self._block: bytearray | None = None
        """The field block that CONTINUATION frames go on with."""
        self._acknowledged = False
        self.authority: bytes | None = None
        """Of the first request."""

    def feed(self, data: bytes) -> bytes:
        """Take data; return what is to be passed on of it.

        Raises:
            Broken: a frame is not valid, or a request is for another authority.
        """
        self._data += data
        passed = bytearray()
        while (frame := self._next_frame()) is not None:
            if self._is_ours(frame):
                continue
            self._look_at(frame)
            passed += frame.encode()
        return bytes(passed)

    def _next_frame(self) -> Frame | None:
        size = int.from_bytes(self._data[:3], "big")
        if size > FRAME_MAX:
            raise Broken("A frame is too long.")
        if len(self._data) < 9 + size:
            return None
        kind, flags = self._data[3], self._data[4]
        stream = int.from_bytes(self._data[5:9], "big")
        payload = bytes(self._data[9 : 9 + size])
        del self._data[: 9 + size]
        return Frame(kind, flags, stream, payload)

    def _is_ours(self, frame: Frame) -> bool:
        """Tell whether a frame acknowledges the front's SETTINGS, which the client got first."""
        if frame.kind != SETTINGS or not frame.flags & ACK or self._acknowledged:
            return False
        self._acknowledged = True
        return True

    def _look_at(self, frame: Frame) -> None:
        if (self._block is not None) != (frame.kind == CONTINUATION):
            raise Broken("A field block is interrupted by another frame.")
        if frame.kind == HEADERS:
            self._block = bytearray(_strip(frame))
        elif frame.kind == CONTINUATION and self._block is not None:
            self._block += frame.payload
        else:
            return
        if len(self._block) > HEAD_MAX:
            raise Broken("A field block is too long.")
        if frame.flags & END_HEADERS:
            block, self._block = bytes(self._block), None
            self._look_at_fields(block)

    def _look_at_fields(self, block: bytes) -> None:
        try:
            fields = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            raise Broken(f"A field block is not valid: {error}.") from error
        names = {v.lower() for k, v, *_ in fields if k in (b":authority", b"host")}
        is_request = any(k == b":method" for k, *_ in fields)
        if not is_request and not names:
            return  # trailers
        if len(names) != 1:
            raise Broken("A request must name exactly one host.")
        (authority,) = names
        if self.authority not in (None, authority):
            raise Broken("A request is for another host than the connection's first.")
        self.authority = authority


def _strip(frame: Frame) -> bytes:
    """Return the part of a field block in a HEADERS frame (RFC 9113, section 6.2)."""
    payload = frame.payload
    if frame.flags & PADDED:
        if not payload or payload[0] >= len(payload):
            raise Broken("The padding of a frame is longer than the frame.")
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if frame.flags & PRIORITY else payload


async def serve_http2(client: HostSocket, preface: bytes, head: bytes, find: Find) -> None:
    """Serve a client that has sent the preface, which the guest gets too, and then `head`."""
    requests = Requests()
    await client.write(Frame(SETTINGS, 0, 0, b"").encode())
    try:
        async with asyncio.timeout(FIRST_REQUEST_S):
            beginning = await _read_first(client, requests, head)
        async with reach(find, _destination(requests)) as tcp:
            await tcp.write(preface + beginning)
            await _pass_both(client, tcp, requests)
    except Refusal as refusal:
        await client.write(_render_refusal(refusal))
        await client.linger()
    except Broken:
        with contextlib.suppress(OSError):
            await client.write(_go_away(PROTOCOL_ERROR))
        await client.linger()


async def _read_first(client: HostSocket, requests: Requests, data: bytes) -> bytes:
    """Return what is to be passed on up to the first request's head."""
    passed = bytearray()
    size = len(data)
    passed += requests.feed(data)
    while requests.authority is None:
        data = await client.read()
        size += len(data)
        if not data or size > BEGINNING_MAX:
            raise Broken("The client sent no request.")
        passed += requests.feed(data)
    return bytes(passed)


def _destination(requests: Requests) -> Destination:
    return parse_host(requests.authority or b"")


async def _pass_both(client: HostSocket, tcp: GuestTcp, requests: Requests) -> None:
    """Pass on frames until both directions have ended, or the connection broke.

    Raises:
        Broken: the client asked for another VM.
    """
    upward = asyncio.create_task(_pass_up(client, tcp, requests))
    downward = asyncio.create_task(_pass_down(client, tcp))
    try:
        done, _ = await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    except (OSError, BangerError):
        reset_when_closed(client.sock)
        raise
    finally:
        upward.cancel()
        downward.cancel()
        await asyncio.gather(upward, downward, return_exceptions=True)


async def _pass_up(client: HostSocket, tcp: GuestTcp, requests: Requests) -> None:
    while data := await client.read():
        if not await tcp.write(requests.feed(data)):
            return
    await tcp.write_eof()


async def _pass_down(client: HostSocket, tcp: GuestTcp) -> None:
    while data := await tcp.read():
        await client.write(data)
    await client.write_eof()


def _render_refusal(refusal: Refusal) -> bytes:
    """Return the answer to stream 1, the first request's."""
    page = render_page(refusal)
    block = Encoder().encode([(":status", str(refusal.status)), *page.fields])
    frames = (
        Frame(HEADERS, END_HEADERS, 1, block),
        Frame(DATA, END_STREAM, 1, page.body),
    )
    return b"".join(frame.encode() for frame in frames) + _go_away(NO_ERROR, last_stream=1)


def _go_away(code: int, *, last_stream: int = 0) -> bytes:
    payload = last_stream.to_bytes(4, "big") + code.to_bytes(4, "big")
    return Frame(GOAWAY, 0, 0, payload).encode()
