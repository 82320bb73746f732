"""One HTTP exchange with a registry or another server, in a thread, under the rules of hazard F5.

- Redirects are followed five times, never from TLS to plain HTTP, never to another scheme; an
  Authorization header stays with the host that it was for.
- TLS is verified with the system's store (`SSL_CERT_FILE` is honoured, by Python's `ssl`).
- No silence is longer than `STALL_S`; a whole exchange is ended from outside by its `Abort`, which
  shuts the socket down, so that no thread waits on for nobody.
- Bodies are read by the caller, who knows how long they may be.

The standard library's client, in threads: ADR 0040 has the measurements. Synchronous; touches
the network only.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from banger.errors import RegistryMisbehaved, RegistryUnreachable
from banger.version import VERSION

log = logging.getLogger(__name__)

CONNECT_S = 15.0
PROBE_S = 5.0
"""For a handshake on loopback."""
STALL_S = 30.0
REDIRECTS_MAX = 5
REDIRECTS = (301, 302, 303, 307, 308)
DEFAULT_PORTS = {"http": 80, "https": 443}

T = TypeVar("T")


class Abort:
    """A switch by which the event loop ends what a thread waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_set = False

    def set(self) -> None:
        """End the exchange: its reads return nothing, its next connection is refused."""
        with self._lock:
            self._is_set = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # Not the TLS layer's own shutdown, which would pull its state from under
                    # the thread that is reading.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def watch(self, connected: socket.socket) -> None:
        """Take a connection under the switch."""
        with self._lock:
            self._socket = connected
            if self._is_set:
                connected.close()
                raise RegistryUnreachable("The request was given up.")


async def in_thread(threads: Executor | None, work: Callable[[Abort], T]) -> T:
    """Run blocking work and return its result; a cancellation aborts it and waits for its end.

    `threads`: None for the loop's own.
    """
    abort = Abort()
    future = asyncio.get_running_loop().run_in_executor(threads, work, abort)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        abort.set()
        await asyncio.wait({future})
        if not future.cancelled():
            future.exception()  # what it says of its end is of no interest
        raise


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
    url: str, *, headers: Mapping[str, str], abort: Abort, body: bytes | None = None
) -> Iterator[Answer]:
    """Send a request (POST with a body, else GET), follow redirects, and hold the last answer.

    Raises:
        RegistryUnreachable: it cannot be reached, or breaks off.
        RegistryMisbehaved: it redirects where it may not, or speaks no HTTP.
    """
    sent, target = dict(headers), _require_target(url)
    for _ in range(REDIRECTS_MAX + 1):
        with (
            contextlib.closing(_Connection(target, abort)) as connection,
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


@contextlib.contextmanager
def transport_errors(host: str) -> Iterator[None]:
    """Translate what goes wrong on the wire."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise RegistryUnreachable(
            f"The certificate of {host} is not accepted: {error.verify_message}."
        ) from error
    except ssl.SSLError as error:
        raise RegistryUnreachable(
            f"{host} does not speak TLS as it should: {error.reason or error}.",
            hint="--insecure (if it speaks plain HTTP)",
        ) from error
    except TimeoutError as error:
        raise RegistryUnreachable(f"{host} does not answer.", retryable=True) from error
    except OSError as error:
        raise RegistryUnreachable(
            f"{host} cannot be reached: {error.strerror or error}.", retryable=True
        ) from error
    except (http.client.IncompleteRead, http.client.RemoteDisconnected) as error:
        raise RegistryUnreachable(f"{host} broke off.", retryable=True) from error
    except http.client.HTTPException as error:
        raise RegistryMisbehaved(f"{host} does not speak HTTP: {type(error).__name__}.") from error


def speaks_tls(host: str, abort: Abort) -> bool:
    """Tell whether `HOST[:PORT]` answers a TLS handshake, whatever its certificate."""
    target = urlsplit(f"https://{host}")
    with transport_errors(host):
        try:
            connection = _Connection(target, abort, timeout_s=PROBE_S)
            with contextlib.closing(connection):
                connection.connect()
        except ssl.SSLCertVerificationError:
            return True
        except (ssl.SSLError, ConnectionResetError, TimeoutError):
            return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether `HOST[:PORT]` is this very machine. Pure."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


class _Connection(http.client.HTTPConnection):
    """A connection whose socket is under an `Abort` from the start."""

    def __init__(self, target: SplitResult, abort: Abort, *, timeout_s: float = CONNECT_S) -> None:
        assert target.hostname
        port = target.port or DEFAULT_PORTS[target.scheme]
        super().__init__(target.hostname, port)
        self._connect_s = timeout_s
        self._is_tls = target.scheme == "https"
        self._abort = abort

    def connect(self) -> None:
        sock = socket.create_connection((self.host, self.port), self._connect_s)
        try:
            self._abort.watch(sock)
            if self._is_tls:
                context = ssl.create_default_context()
                wrapped = context.wrap_socket(
                    sock, server_hostname=self.host, do_handshake_on_connect=False
                )
                sock = wrapped
                self._abort.watch(wrapped)
                wrapped.do_handshake()
        except BaseException:
            sock.close()
            raise
        sock.settimeout(STALL_S)
        self.sock = sock


def _exchange(
    connection: _Connection, target: SplitResult, headers: Mapping[str, str], body: bytes | None
) -> Answer:
    path = target.path or "/"
    query = f"?{target.query}" if target.query else ""
    # Identity: a body is to be the very bytes whose digest is known.
    fixed = {"User-Agent": f"banger/{VERSION}", "Accept-Encoding": "identity"}
    method = "GET" if body is None else "POST"
    with transport_errors(target.netloc):
        connection.request(method, path + query, body=body, headers={**fixed, **headers})
        response = connection.getresponse()
    # Without the query, which may be a secret of its own: signed addresses are.
    log.debug("%s %s://%s%s: %d", method, target.scheme, target.netloc, path, response.status)
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
