"""One request and its answer over urllib3, whose errors become ours here.

urllib3 keeps connections, frames bodies and asks proxies. Its own redirects and retries are off:
those are for `client` and for the callers to decide. Imported by the first request only, which is
in a thread; touches the network.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlunsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    HTTPError,
    LocationValueError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse, HTTPResponse

from banger.errors import BangerError, RegistryMisbehaved
from banger.host.http.abort import require_wanted, watch
from banger.host.http.failures import (
    explain_failure,
    explain_proxy_failure,
    refuse_credentials,
)
from banger.host.http.proxies import DEFAULT_PORTS, Proxy

CONNECT_S = 15.0
STALL_S = 30.0
"""Longest silence of a server before its request fails."""
KEPT_CONNECTIONS = 8
"""Idle connections per server: one for each of a daemon's transfer threads."""
DRAINED_BYTES_MAX = 64 * 1024
"""An unread rest up to this size is read, so that the connection can be kept."""


class Answer:
    """A response whose body is still to be read."""

    def __init__(
        self, target: SplitResult, proxy: Proxy | None, response: BaseHTTPResponse
    ) -> None:
        self.host = target.netloc
        self.status = response.status
        self.length = response.length_remaining
        """Bytes of the body by its Content-Length; None if the header is missing."""
        self._target = target
        self._proxy = proxy
        self._response = response

    def close(self) -> None:
        """End the answer. Its connection is kept if little or nothing of the body is unread."""
        unread = self._response.length_remaining
        if unread is not None and unread <= DRAINED_BYTES_MAX:
            self._response.drain_conn()
        self._response.close()

    def header(self, name: str) -> str | None:
        """Return the first header of this name."""
        return next(iter(self.headers(name)), None)

    def headers(self, name: str) -> list[str]:
        """Return all headers of this name."""
        return list(self._response.headers.getlist(name))

    def read(self, size: int) -> bytes:
        """Return at most `size` further bytes; none at the end.

        Raises:
            RegistryUnreachable: the body breaks off, or is silent for too long.
        """
        with _translated(self._target, self._proxy):
            return self._response.read1(size)

    def read_whole(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            RegistryMisbehaved: it is longer than `limit`.
            RegistryUnreachable: it breaks off.
        """
        if self.length is not None and self.length > limit:
            raise RegistryMisbehaved(
                f"A response of {self.host} has {self.length} bytes; at most {limit} are expected."
            )
        body = bytearray()
        while len(body) <= limit and (part := self.read(limit + 1 - len(body))):
            body += part
        if len(body) > limit:
            raise RegistryMisbehaved(f"A response of {self.host} has more than {limit} bytes.")
        return bytes(body)


class _StaleConnection(http.client.HTTPException):
    """The server closed a kept connection while a request was on its way."""


class _Connection(HTTPConnection):
    """A connection under the `Abort` of the thread that uses it."""

    _has_answered = False

    def connect(self) -> None:
        self._has_answered = False
        super().connect()

    def _new_conn(self) -> socket.socket:
        # urllib3 overrides this method itself, for SOCKS proxies.
        require_wanted()
        connected = super()._new_conn()
        try:
            watch(connected)
        except BaseException:
            connected.close()
            raise
        return connected

    def putrequest(
        self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False
    ) -> None:
        if self.sock is not None:
            watch(self.sock)
        super().putrequest(method, url, skip_host, skip_accept_encoding)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        try:
            response = super().getresponse()
        except ConnectionError as error:
            if self._has_answered:
                raise _StaleConnection from error
            raise
        self._has_answered = True
        return response


class _TlsConnection(_Connection, HTTPSConnection):
    """A TLS connection under the `Abort` of the thread that uses it."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def open_pools(proxy: Proxy | None, trust: ssl.SSLContext | None) -> urllib3.PoolManager:
    """Return the pools of connections to servers, directly or through a proxy."""
    # It logs whole URLs, and those of a signed address are a secret (G6).
    logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)
    options: dict[str, Any] = {
        "maxsize": KEPT_CONNECTIONS,
        "timeout": urllib3.Timeout(connect=CONNECT_S, read=STALL_S),
        "ssl_context": trust,
    }
    if proxy is None:
        manager = urllib3.PoolManager(**options)
    else:
        host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
        sent = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        manager = urllib3.ProxyManager(f"http://{host}:{proxy.port}", proxy_headers=sent, **options)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


def exchange(
    pools: urllib3.PoolManager,
    target: SplitResult,
    *,
    proxy: Proxy | None,
    headers: Mapping[str, str],
    body: bytes | None,
) -> Answer:
    """Send one request (POST with a body, else GET) and return its answer.

    Raises:
        RegistryUnreachable, RegistryMisbehaved: there is none.
    """
    place = target.netloc.rpartition("@")[2]
    url = urlunsplit((target.scheme, place, target.path or "/", target.query, ""))
    with _translated(target, proxy):
        response = _send(pools, "GET" if body is None else "POST", url, headers, body)
    if proxy is not None and response.status == http.client.PROXY_AUTHENTICATION_REQUIRED:
        response.close()
        raise refuse_credentials(proxy)
    return Answer(target, proxy, response)


def _send(
    pools: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> BaseHTTPResponse:
    """Send a request, again if its connection turns out to be closed: each goes from the pool."""
    while True:
        try:
            return pools.urlopen(
                method,
                url,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (ProtocolError, ProxyError) as error:
            if not isinstance(_cause_of(error), _StaleConnection):
                raise


@contextlib.contextmanager
def _translated(target: SplitResult, proxy: Proxy | None) -> Iterator[None]:
    """Raise our errors for urllib3's."""
    try:
        yield
    except HTTPError as error:
        raise _explain(error, target, proxy) from error


def _explain(error: HTTPError, target: SplitResult, proxy: Proxy | None) -> BangerError:
    host, cause = target.netloc, _cause_of(error)
    match error:
        case LocationValueError():
            return RegistryMisbehaved(f"{host!r} is not a valid host name.")
        case ProxyError() if proxy is not None:
            port = target.port or DEFAULT_PORTS[target.scheme]
            return explain_proxy_failure(cause, proxy, f"{target.hostname}:{port}")
        case urllib3.exceptions.TimeoutError() if proxy is not None:
            host = f"{host} (through {proxy.host}:{proxy.port})"
    return explain_failure(cause, host)


def _cause_of(error: BaseException | None) -> Exception | None:
    """Return what a socket, TLS or HTTP raised, which urllib3 has wrapped up to three times."""
    match error:
        case NewConnectionError():
            return _cause_of(error.__cause__)
        case urllib3.exceptions.TimeoutError():
            return TimeoutError()
        case ProxyError():
            return _cause_of(error.original_error)
        case SSLError() | ProtocolError() if error.args and isinstance(error.args[-1], Exception):
            return _cause_of(error.args[-1])
    return error if isinstance(error, Exception) else None
