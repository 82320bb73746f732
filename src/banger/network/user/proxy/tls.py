"""TLS over a socket of this process, whose first bytes may have been read already."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from banger.model.secrets import list_patterns

PIECE_BYTES = 65536
ALPN = ("http/1.1",)


@dataclass(frozen=True)
class Tls:
    """How TLS ends here on both sides."""

    names: frozenset[str]
    """Those that the certificate is for, wildcards among them."""
    server: ssl.SSLContext
    """Towards the guest."""
    client: ssl.SSLContext

    def has(self, name: str) -> bool:
        """Tell whether the certificate is for a host."""
        return not self.names.isdisjoint(list_patterns(name))


def load_tls(path: str, chain: bytes) -> Tls:
    """Return what answers with a key and a certificate, by way of a file, for the hosts named."""
    Path(path).write_bytes(chain)
    names = frozenset(chain.partition(b"\n")[0].decode("ascii").split())
    return Tls(names, make_server_context(path), make_client_context())


def make_server_context(chain: str) -> ssl.SSLContext:
    """Return what answers with the key and the certificate of a file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(chain)
    context.set_alpn_protocols(ALPN)
    return context


def make_client_context() -> ssl.SSLContext:
    """Return what verifies servers with the host's certificates."""
    context = ssl.create_default_context()
    # Python 3.13 demands more of private authorities than the guest's clients would.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    return context


class Secured:
    """A connection inside of TLS. One task reads, another may write."""

    def __init__(
        self,
        side: socket.socket,
        context: ssl.SSLContext,
        *,
        server_name: str | None = None,
        beginning: bytes = b"",
    ) -> None:
        """Begin as the client of a server of this name; None: as a server."""
        self._side = side
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming.write(beginning)
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self._sending = asyncio.Lock()

    async def shake_hands(self) -> None:
        """Agree with the other side.

        Raises:
            OSError: it has ended, or they do not agree.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._receive():
                    raise ConnectionResetError from None
            except ssl.SSLError:
                await self._flush()  # the alert
                raise
            else:
                await self._flush()
                return

    async def read(self) -> bytes:
        """Return the next bytes; none: it has ended.

        Raises:
            OSError: it is broken.
        """
        while True:
            try:
                return self._tls.read(PIECE_BYTES)
            except ssl.SSLWantReadError:
                if self._outgoing.pending:  # such as the answer to a new key
                    await self._flush()
                await self._receive()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            OSError: it is broken.
        """
        if data:
            self._tls.write(data)
        await self._flush()

    async def end(self) -> None:
        """Say that nothing more comes, nor is read; fine if the other side has gone."""
        with contextlib.suppress(ssl.SSLError):  # it has not said the same
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            await self._flush()
        self.hang_up()

    def hang_up(self) -> None:
        """Send nothing more; what comes can be read still."""
        with contextlib.suppress(OSError):  # it has ended on that side
            self._side.shutdown(socket.SHUT_WR)

    async def _receive(self) -> bool:
        piece = await asyncio.get_running_loop().sock_recv(self._side, PIECE_BYTES)
        if piece:
            self._incoming.write(piece)
        else:
            self._incoming.write_eof()
        return bool(piece)

    async def _flush(self) -> None:
        async with self._sending:
            while data := self._outgoing.read():
                await asyncio.get_running_loop().sock_sendall(self._side, data)
