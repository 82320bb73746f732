"""One ssh connection: what asyncssh asks its server, answered with the guest."""

from __future__ import annotations

import socket
from collections.abc import Callable

import asyncssh

from banger.api import wire
from banger.errors import BangerError
from banger.ssh.guest import Guest
from banger.ssh.listening import GuestListening, OpenChannel, Place, listen
from banger.ssh.session import GuestSession
from banger.ssh.sockets import GuestSocket

WINDOW = 1024 * 1024
"""Bytes of input that a client may send on a channel before the guest has taken them."""
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of the guest
LOGIN_S = 60
"""For a client to begin its session after the connection."""
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")
"""What a processor does best, since no byte leaves the host; the last for older clients."""
FAST_EXCHANGES = ("curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")


class GuestServer(asyncssh.SSHServer):
    """Serves one connection, whose peer is the user of this process."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._user = ""
        self._is_lost = False
        self._connection: asyncssh.SSHServerConnection | None = None
        self._agent: GuestListening | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Keep the connection, and have agents be forwarded from the guest, not from this host."""
        self._connection = conn
        listen = self._listen_for_agent
        conn.create_agent_listener = listen  # type: ignore[method-assign]  # there is no hook

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it, for what is just being opened."""
        self._is_lost = True
        if self._agent is not None:
            self._agent.close()

    def begin_auth(self, username: str) -> bool:
        """Note the guest's user. Nothing has to be proven: the socket has shown whose it is."""
        self._user = username
        return False

    def session_requested(self) -> GuestSession:
        """Open a session channel."""
        return GuestSession(self._guest, self._user, self._describe_agent)

    async def connection_requested(
        self,
        dest_host: str,
        dest_port: int,
        orig_host: str,
        orig_port: int,
    ) -> GuestSocket:
        """Connect to a port, as seen from inside the guest (-L, -D, -W).

        Raises:
            ChannelOpenError: nothing listens there.
        """
        return await self._open_socket({"host": dest_host, "port": dest_port})

    async def unix_connection_requested(self, dest_path: str) -> GuestSocket:
        """Connect to a Unix socket in the guest, with the user's rights (-L to a path).

        Raises:
            ChannelOpenError: nothing listens there.
        """
        return await self._open_socket({"path": dest_path, "user": self._user})

    async def server_requested(self, listen_host: str, listen_port: int) -> asyncssh.SSHListener:
        """Listen on a port of the guest (-R): on its loopback unless an address is named."""
        host = EVERYWHERE if listen_host in ("", "*") else listen_host

        async def open_channel(factory: Callable[[], GuestSocket], peer: Place) -> None:
            await self._conn.create_connection(
                factory, listen_host, listening.get_port(), *peer, window=WINDOW
            )

        listening = await self._listen({"host": host, "port": listen_port}, open_channel)
        return listening

    async def unix_server_requested(self, listen_path: str) -> asyncssh.SSHListener:
        """Listen at a path in the guest, with the user's rights (-R of a path)."""

        async def open_channel(factory: Callable[[], GuestSocket], _: Place) -> None:
            await self._conn.create_unix_connection(factory, listen_path, window=WINDOW)

        return await self._listen({"path": listen_path}, open_channel)

    @property
    def _conn(self) -> asyncssh.SSHServerConnection:
        assert self._connection is not None
        return self._connection

    async def _listen(self, place: wire.Document, open_channel: OpenChannel) -> GuestListening:
        """Listen in the guest with the user's rights.

        Raises:
            OSError: the guest refuses; `ssh -v` shows why.
        """
        place = {**place, "user": self._user}
        try:
            listening = await listen(self._guest, place, open_channel)
        except BangerError as error:
            self._conn.send_debug(error.message, always_display=True)
            raise OSError(error.message) from error
        if self._is_lost:
            listening.close()
        return listening

    async def _listen_for_agent(self) -> bool:
        """Have a socket in the guest for the client's agent (-A); tell whether there is one."""

        async def open_channel(factory: Callable[[], GuestSocket], _: Place) -> None:
            await self._conn.create_agent_channel(WINDOW).open(factory)

        if self._agent is None:
            try:
                self._agent = await self._listen({}, open_channel)
            except OSError:
                return False
        return True

    def _describe_agent(self) -> dict[str, str]:
        """Return the variable by which programs find the client's agent, if it is forwarded."""
        return {} if self._agent is None else {"SSH_AUTH_SOCK": self._agent.path}

    async def _open_socket(self, place: wire.Document) -> GuestSocket:
        try:
            stream = await self._guest.open("vm.connect", place)
        except BangerError as error:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, error.message) from error
        if self._is_lost:
            stream.close()
        return GuestSocket(stream)


async def serve_connection(
    sock: socket.socket, guest: Guest, key: asyncssh.SSHKey
) -> asyncssh.SSHServerConnection:
    """Speak ssh on a connected socket; return when the client is known.

    Raises:
        OSError, asyncssh.Error: the client left, or does not speak ssh.
    """
    return await asyncssh.run_server(
        sock,
        server_factory=lambda: GuestServer(guest),
        server_host_keys=[key],
        encoding=None,
        line_editor=False,
        x11_forwarding=False,
        agent_forwarding=False,
        allow_scp=False,
        gss_host=None,
        compression_algs=None,
        encryption_algs=FAST_CIPHERS,
        kex_algs=FAST_EXCHANGES,
        login_timeout=LOGIN_S,
        window=WINDOW,
    )
