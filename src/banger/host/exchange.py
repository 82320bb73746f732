"""One HTTP exchange with a registry or another server, in a thread, under the rules of hazard F5.

- Redirects are followed five times, never from TLS to plain HTTP, never to another scheme; an
  Authorization header stays with the host that it was for.
- Each hop goes through the proxy that the caller's environment names for it (`proxies`); what the
  proxy is told to let us in, no server is told.
- Deadlines, TLS and the end from outside are the connection's (`connection`).
- Bodies are read by the caller, who knows how long they may be.

The standard library's client, in threads: ADR 0040 has the measurements. Synchronous; touches
the network only.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urljoin, urlsplit

from banger.errors import RegistryMisbehaved, RegistryUnreachable
from banger.host.connection import Abort, Connection, refuse_credentials, transport_errors
from banger.host.proxies import DEFAULT_PORTS
from banger.version import VERSION

log = logging.getLogger(__name__)

REDIRECTS_MAX = 5
REDIRECTS = (301, 302, 303, 307, 308)


class Answer:
    """A response whose body is still to be read."""

    def __init__(self, host: str, response: http.client.HTTPResponse) -> None:
        self.host = host
        self.status = response.status
        self.length = response.length
        """What it says of its body's length, or None."""
        self._response = response

    def close(self) -> None:
        """End it; the connection's own end does not, while the body is unread."""
        self._response.close()

    def header(self, name: str) -> str | None:
        """Return the first header of this name."""
        return self._response.headers.get(name)

    def headers(self, name: str) -> list[str]:
        """Return all headers of this name."""
        return self._response.headers.get_all(name, [])

    def read(self, size: int) -> bytes:
        """Return at most `size` further bytes; none at the end, which may have come too soon.

        Raises:
            RegistryUnreachable: it breaks off, or is silent for too long.
        """
        with transport_errors(self.host):
            return self._response.read1(size)

    def read_whole(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            RegistryMisbehaved: it is longer than `limit`.
            RegistryUnreachable: it breaks off.
        """
        if self.length is not None and self.length > limit:
            raise RegistryMisbehaved(
                f"An answer of {self.host} has {self.length} bytes; at most {limit} are expected."
            )
        body = bytearray()
        while len(body) <= limit and (part := self.read(limit + 1 - len(body))):
            body += part
        if len(body) > limit:
            raise RegistryMisbehaved(f"An answer of {self.host} has more than {limit} bytes.")
        if self.length is not None and len(body) < self.length:
            raise RegistryUnreachable(f"An answer of {self.host} broke off.", retryable=True)
        return bytes(body)


@contextlib.contextmanager
def open_answer(
    url: str,
    *,
    headers: Mapping[str, str],
    environ: Mapping[str, str],
    abort: Abort,
    body: bytes | None = None,
) -> Iterator[Answer]:
    """Send a request (POST with a body, else GET), follow redirects, and hold the last answer.

    `environ` is the caller's: proxies, and what TLS is verified with.

    Raises:
        ConfigInvalid: `environ` names no usable proxy or certificates.
        RegistryUnreachable: it cannot be reached, or breaks off.
        RegistryMisbehaved: it redirects where it may not, or speaks no HTTP.
    """
    sent, target = dict(headers), _require_target(url)
    for _ in range(REDIRECTS_MAX + 1):
        with (
            contextlib.closing(Connection(target, abort, environ=environ)) as connection,
            contextlib.closing(_exchange(connection, target, sent, body)) as answer,
        ):
            location = answer.header("Location")
            if answer.status not in REDIRECTS or location is None:
                yield answer
                return
        if body is not None:
            raise RegistryMisbehaved(f"{target.netloc} redirects what must not be sent elsewhere.")
        following = _follow(target, location)
        if _origin(following) != _origin(target):
            sent.pop("Authorization", None)
        target = following
    raise RegistryMisbehaved(f"{target.netloc} redirects more than {REDIRECTS_MAX} times.")


def _exchange(
    connection: Connection, target: SplitResult, headers: Mapping[str, str], body: bytes | None
) -> Answer:
    path = target.path or "/"
    query = f"?{target.query}" if target.query else ""
    # Identity: a body is to be the very bytes whose digest is known.
    sent = {"User-Agent": f"banger/{VERSION}", "Accept-Encoding": "identity", **headers}
    proxy = connection.proxy if target.scheme == "http" else None
    if proxy is not None:
        path = f"http://{target.netloc.rpartition('@')[2]}{path}"
        if proxy.authorization:
            sent["Proxy-Authorization"] = proxy.authorization
    method = "GET" if body is None else "POST"
    with transport_errors(target.netloc):
        connection.request(method, path + query, body=body, headers=sent)
        response = connection.getresponse()
    if proxy is not None and response.status == 407:
        response.close()
        raise refuse_credentials(proxy)
    # Without the query, which may be a secret of its own: signed addresses are.
    log.debug("%s %s, %s: %d", method, target.netloc, path, response.status)
    return Answer(target.netloc, response)


def _require_target(url: str) -> SplitResult:
    """Return the parts of a URL that a request can be sent to."""
    try:
        target = urlsplit(url)
        is_usable = target.scheme in DEFAULT_PORTS and target.hostname and target.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not url.isascii() or any(not 0x20 < ord(letter) < 0x7F for letter in url):
        raise RegistryMisbehaved(f"{url.partition('?')[0][:200]!r} is not a URL that can be asked.")
    return target


def _follow(target: SplitResult, untrusted_location: str) -> SplitResult:
    """Return where a redirect leads."""
    try:
        url = urljoin(target.geturl(), untrusted_location)
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in DEFAULT_PORTS:
        shown = untrusted_location.partition("?")[0][:200]
        raise RegistryMisbehaved(f"{target.netloc} redirects to {shown!r}.")
    if target.scheme == "https" and scheme != "https":
        raise RegistryMisbehaved(f"{target.netloc} redirects from TLS to plain HTTP.")
    return _require_target(url)


def _origin(target: SplitResult) -> tuple[str, str | None, int | None]:
    return target.scheme, target.hostname, target.port or DEFAULT_PORTS.get(target.scheme)
