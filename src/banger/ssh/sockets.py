"""Channels of forwarded connections: each ends at a socket in the guest."""

from __future__ import annotations

import asyncssh

from banger.client.aio import DaemonStream
from banger.ssh.bridge import Bridge


class GuestSocket(Bridge, asyncssh.SSHTCPSession[bytes], asyncssh.SSHUNIXSession[bytes]):
    """One connection, over a stream that stands already."""

    def __init__(self, stream: DaemonStream) -> None:
        super().__init__()
        self._waiting = stream

    def session_started(self) -> None:
        """Begin to pass data on."""
        self.attach(self._waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        """Reset the guest's connection, unless both directions have ended.

        If they have, the guest may not have taken everything yet: the stream ends when it has.
        """
        self._channel = None
        if exc is not None or not (self.has_input_ended and self.has_output_ended):
            self._waiting.close()
