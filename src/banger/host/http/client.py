"""Requests to registries and other servers for one caller, under the rules of hazard F5.

- Redirects are followed five times, never from TLS to plain HTTP, never to another scheme; an
  Authorization header goes only to the origin that it was meant for.
- Each hop goes through the proxy that the caller's environment names for it (`proxies`); a
  proxy's credentials are never sent to a server.
- The caller, which knows the largest size, reads the bodies.

Synchronous, for threads; touches the network only.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from banger.errors import RegistryMisbehaved
from banger.host.http.proxies import DEFAULT_PORTS, Proxy, find_proxy
from banger.host.http.tls import load_trust
from banger.version import VERSION

if TYPE_CHECKING:
    from urllib3 import PoolManager

    from banger.host.http.exchange import Answer

log = logging.getLogger(__name__)

REDIRECTS_MAX = 5
REDIRECTS = (301, 302, 303, 307, 308)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
"""Hosts that every URL parser reads alike."""


class Client:
    """Sends requests with the proxies and certificates of a caller's environment.

    Threads may share a client. Connections are kept for later requests until `close`. A download
    that outlives its pull may go on with a closed client, which then opens new connections.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._pools: dict[tuple[str, Proxy | None], PoolManager] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close idle connections; busy ones close at the end of their request."""
        with self._lock:
            for pools in self._pools.values():
                pools.clear()
            self._pools.clear()

    @contextlib.contextmanager
    def open(
        self, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Iterator[Answer]:
        """Send a request (POST with a body, else GET), follow redirects, yield the last answer.

        Raises:
            ConfigInvalid: the environment names no usable proxy or certificates.
            RegistryUnreachable: the server cannot be reached, or closes the connection early.
            RegistryMisbehaved: the server redirects to a forbidden place, or speaks no HTTP.
        """
        sent, target = dict(headers or {}), _require_target(url)
        for _ in range(REDIRECTS_MAX + 1):
            with contextlib.closing(self._exchange(target, sent, body)) as answer:
                location = answer.header("Location")
                if answer.status not in REDIRECTS or location is None:
                    yield answer
                    return
            if body is not None:
                raise RegistryMisbehaved(
                    f"{target.netloc} redirects a request that must not be redirected."
                )
            following = _follow(target, location)
            if _origin(following) != _origin(target):
                sent.pop("Authorization", None)
            target = following
        raise RegistryMisbehaved(f"{target.netloc} redirects more than {REDIRECTS_MAX} times.")

    def _exchange(
        self, target: SplitResult, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        from banger.host.http.exchange import exchange

        proxy = find_proxy(target, self._environ)
        # Identity: a body must be exactly the bytes whose digest is known.
        sent = {"User-Agent": f"banger/{VERSION}", "Accept-Encoding": "identity", **headers}
        pools = self._find_pools(target.scheme, proxy)
        answer = exchange(pools, target, proxy=proxy, headers=sent, body=body)
        # Without the query, which may be secret, as in signed URLs.
        log.debug("%s%s: %d", target.netloc, target.path, answer.status)
        return answer

    def _find_pools(self, scheme: str, proxy: Proxy | None) -> PoolManager:
        from banger.host.http.exchange import open_pools

        with self._lock:
            if (scheme, proxy) not in self._pools:
                trust = load_trust(self._environ) if scheme == "https" else None
                self._pools[scheme, proxy] = open_pools(proxy, trust)
            return self._pools[scheme, proxy]


def _require_target(url: str) -> SplitResult:
    """Split a URL; raise RegistryMisbehaved unless a request can be sent to it."""
    try:
        target = urlsplit(url)
        is_usable = target.scheme in DEFAULT_PORTS and target.port != 0
    except ValueError:
        is_usable = False
    if (
        not is_usable
        or not _HOST.fullmatch(target.hostname or "")
        or any(not "!" <= letter <= "~" for letter in url)
    ):
        raise RegistryMisbehaved(
            f"{url.partition('?')[0][:200]!r} is not a valid http or https URL."
        )
    return target


def _follow(target: SplitResult, untrusted_location: str) -> SplitResult:
    """Return the target of a redirect."""
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
