"""A request of HTTP/1.1 to a name: whether it is for that name, and how it is passed on. Pure.

A connection carries one request, which is written anew with `Connection: close`: what comes after
it goes nowhere, so no request hides behind another. Upgrades are not passed on, nor is CONNECT.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import h11

HEAD_MAX = 65536
_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"))
"""Fields of one connection alone (RFC 9110, section 7.6.1)."""
_REQUEST_LINE = re.compile(rb"[!-~]{1,32} [^\r\n]* HTTP/")
_BEGINNING = re.compile(rb"[A-Za-z]{0,32}|[A-Za-z]{1,32} [^\r\n]*")


class NotHttp(Exception):
    """What came is no request that is passed on; the text says why."""


def is_request(untrusted_data: bytes) -> bool | None:
    """Tell whether a connection begins as HTTP does, also as only a lenient server takes it.

    None: more is needed to tell. What is longer than a head without telling counts as HTTP.
    """
    data = untrusted_data.lstrip(b"\r\n")
    if _REQUEST_LINE.match(data):
        return True
    if not _BEGINNING.fullmatch(data):
        return False
    return True if len(untrusted_data) > HEAD_MAX else None


def find_server(untrusted_data: bytes, port: int) -> str | None:
    """Return the server that a request names, in lower case; None: its head is not whole yet.

    Raises:
        NotHttp: it is none, is for a proxy, or does not name one.
    """
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX)
    http.receive_data(untrusted_data)
    try:
        event = http.next_event()
    except h11.ProtocolError as error:
        raise NotHttp("not HTTP") from error
    if event is h11.NEED_DATA:
        return None
    if not isinstance(event, h11.Request):
        raise NotHttp("not HTTP")
    return find_host(event, port)


def find_host(request: h11.Request, port: int) -> str:
    """Return the server that a request names, in lower case.

    Raises:
        NotHttp: it is for a proxy, names none or two, or has two lengths, of which servers take
            one or the other (RFC 9112, 6.3).
    """
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
        raise NotHttp("HTTP with two lengths")
    if request.http_version not in (b"1.0", b"1.1") or request.method == b"CONNECT":
        raise NotHttp("not HTTP/1.1, or for a proxy")
    named = {_read_host(value, port) for name, value in request.headers if name == b"host"}
    if request.target[:1] != b"/" and request.target != b"*":
        named.add(_read_host(_find_authority(request.target), port))
    if len(named) != 1:
        raise NotHttp("HTTP without a host, or with two")
    return named.pop()


def _find_authority(untrusted_target: bytes) -> bytes:
    try:
        return urlsplit(untrusted_target).netloc
    except ValueError as error:
        raise NotHttp("not HTTP") from error


def _read_host(untrusted_host: bytes, port: int) -> str:
    host = untrusted_host.decode("latin-1").lower().removesuffix(f":{port}")
    return host.removesuffix(".")


class Rewriter:
    """Writes one request anew, as its bytes come."""

    def __init__(self) -> None:
        self._in = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX)
        self._out = h11.Connection(h11.CLIENT)

    def feed(self, untrusted_data: bytes) -> tuple[bytes, bool]:
        """Return what to send on, and whether that is the request's end.

        Raises:
            NotHttp: it is no request any more.
        """
        written = b""
        try:
            self._in.receive_data(untrusted_data)
            while True:
                event = self._in.next_event()
                if isinstance(event, h11.Request):
                    written += self._out.send(_close_after(event)) or b""
                elif isinstance(event, h11.Data | h11.EndOfMessage):
                    written += self._out.send(event) or b""
                if event is h11.NEED_DATA or isinstance(event, h11.EndOfMessage):
                    return written, event is not h11.NEED_DATA
        except h11.ProtocolError as error:
            raise NotHttp("not HTTP") from error


def _close_after(request: h11.Request) -> h11.Request:
    fields = [(name, value) for name, value in request.headers if name not in _HOP]
    fields.append((b"connection", b"close"))
    return h11.Request(method=request.method, target=request.target, headers=fields)


def render_refusal(why: str) -> bytes:
    """Return the answer to a request that is not passed on."""
    text = f"banger: the egress policy of this VM refuses this: {why}.\n".encode()
    return (
        b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\nconnection: close\r\n"
        + f"content-length: {len(text)}\r\n\r\n".encode()
        + text
    )
