"""A connection of an HTTP client: to a server, or through the proxy of whoever asks.

TLS is verified with the store of the system, or the one that the caller's SSL_CERT_FILE names. No
silence is longer than `STALL_S`; an `Abort` ends a connection from outside by shutting its socket
down, so that no thread waits on for nobody. Synchronous; touches the network only.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from banger.errors import ConfigInvalid, RegistryMisbehaved, RegistryUnreachable
from banger.host.proxies import DEFAULT_PORTS, Proxy, find_proxy

CONNECT_S = 15.0
PROBE_S = 5.0
"""For a handshake on loopback."""
STALL_S = 30.0

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


class Connection(http.client.HTTPConnection):
    """A connection to the server of a URL, or to its proxy; under an `Abort` from the start."""

    def __init__(
        self,
        target: SplitResult,
        abort: Abort,
        *,
        environ: Mapping[str, str],
        timeout_s: float = CONNECT_S,
    ) -> None:
        assert target.hostname
        super().__init__(target.hostname, target.port or DEFAULT_PORTS[target.scheme])
        self.proxy = find_proxy(target, environ)
        self._connect_s = timeout_s
        self._is_tls = target.scheme == "https"
        self._abort = abort
        self._environ = environ

    def connect(self) -> None:
        """Connect, through the proxy if there is one, up to the end of the TLS handshake.

        Raises:
            OSError: the server cannot be reached.
            RegistryUnreachable: the proxy cannot be reached, or does not let us through.
        """
        sock = self._open_socket()
        try:
            self._abort.watch(sock)
            if self._is_tls:
                if self.proxy is not None:
                    open_tunnel(sock, self.proxy, self.host, self.port)
                wrapped = load_trust(self._environ).wrap_socket(
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

    def _open_socket(self) -> socket.socket:
        if self.proxy is None:
            return socket.create_connection((self.host, self.port), self._connect_s)
        with transport_errors(str(self.proxy)):
            return socket.create_connection((self.proxy.host, self.proxy.port), self._connect_s)


def refuse_credentials(proxy: Proxy) -> RegistryUnreachable:
    """Return the error for a proxy that answers 407."""
    what = "does not accept its user and password" if proxy.authorization else "wants credentials"
    return RegistryUnreachable(
        f"{proxy} ({proxy.variable}) {what}.",
        hint=f"export {proxy.variable}=http://USER:PASSWORD@{proxy.host}:{proxy.port}",
    )


def open_tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Ask a proxy for a connection to a server: the socket is the server's from then on.

    Raises:
        RegistryUnreachable, RegistryMisbehaved: the proxy gives none.
    """
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    with transport_errors(str(proxy)):
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        with contextlib.closing(http.client.HTTPResponse(sock, method="CONNECT")) as response:
            response.begin()
            status = response.status
    if status == 407:
        raise refuse_credentials(proxy)
    if not 200 <= status < 300:
        raise RegistryUnreachable(
            f"{proxy} ({proxy.variable}) does not connect to {name}: {status}.",
            retryable=status >= 500 or status in (408, 429),
        )


def load_trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that verifies servers with the store that an environment names.

    Raises:
        ConfigInvalid: a file that the environment names holds no certificates.
    """
    store = ssl.get_default_verify_paths()
    file = environ.get(store.openssl_cafile_env) or store.openssl_cafile
    folder = environ.get(store.openssl_capath_env) or store.openssl_capath
    try:
        return ssl.create_default_context(
            cafile=file if os.path.isfile(file) else None,
            capath=folder if os.path.isdir(folder) else None,
        )
    except OSError as error:
        raise ConfigInvalid(f"{file} does not hold certificates, as SSL_CERT_FILE says.") from error


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
            connection = Connection(target, abort, environ={}, timeout_s=PROBE_S)
            with contextlib.closing(connection):
                connection.connect()
        except ssl.SSLCertVerificationError:
            return True
        except (ssl.SSLError, ConnectionResetError, TimeoutError):
            return False
    return True
