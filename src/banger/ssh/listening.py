"""Remote forwards (-R) and forwarded agents (-A): sockets that listen in the guest for the client.

A connection that comes to one becomes a channel that the front opens at the client. Owns the
stream of each listener, which ends with the forward or with the ssh connection; the guest's socket
and its file go with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import asyncssh

from banger.api import wire
from banger.client.aio import DaemonStream
from banger.errors import BangerError
from banger.ssh.guest import Guest
from banger.ssh.sockets import GuestSocket

Place = tuple[str, int]
OpenChannel = Callable[[Callable[[], GuestSocket], Place], Awaitable[object]]
"""Opens a channel at the client for a session, and says where the connection came from."""

NO_PLACE: Place = ("", 0)


class GuestListening(asyncssh.SSHListener):
    """A socket that listens in the guest. Receives the stream of `vm.listen`."""

    def __init__(self, guest: Guest, stream: DaemonStream, open_channel: OpenChannel) -> None:
        super().__init__()
        self._guest = guest
        self._stream = stream
        self._open_channel = open_channel
        self._line = b""
        self._tasks: set[asyncio.Task[None]] = set()
        stream.start(self)

    @property
    def path(self) -> str:
        """The path of a Unix socket."""
        return str(cast(wire.Document, self._stream.result)["path"])

    def get_port(self) -> int:
        """Return the port, also where any was asked for."""
        return int(cast(dict[str, int], self._stream.result)["port"])

    def close(self) -> None:
        """Stop listening; connections that stand go on."""
        self._stream.close()

    # --- the stream's callbacks ---

    def output(self, channel: int, data: bytes) -> None:
        """Take connections."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            task = asyncio.create_task(self._take(wire.parse_line(line)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def output_ended(self) -> None:
        """Do nothing: the stream's end follows."""

    def may_send(self) -> None:
        """Do nothing: a listener has no input."""

    def ended(self, exit_: dict[str, int], error: BangerError | None) -> None:
        """Do nothing: the client's forward stays, and no connection comes to it."""

    # --- private ---

    async def _take(self, arrival: wire.Document) -> None:
        host, port = arrival.get("peer_host"), arrival.get("peer_port")
        peer = (host, port) if isinstance(host, str) and isinstance(port, int) else NO_PLACE
        try:
            stream = await self._guest.accept(str(arrival["token"]))
        except BangerError:
            return  # it has gone again
        try:
            await self._open_channel(lambda: GuestSocket(stream), peer)
        except (asyncssh.Error, OSError):
            stream.close()


async def listen(guest: Guest, place: wire.Document, open_channel: OpenChannel) -> GuestListening:
    """Listen in the guest at a place as of `vm.listen`.

    Raises:
        BangerError: the daemon's error.
    """
    return GuestListening(guest, await guest.open("vm.listen", place), open_channel)
