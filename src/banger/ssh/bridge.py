"""Join a channel of ssh with a stream of the daemon, with back pressure in both directions.

Each side is read only while the other takes what was read, so a channel holds at most its window
(`server.WINDOW`) of input, and of output one read of the stream besides the client's window.

Owns the stream: it ends when the channel does.
"""

from __future__ import annotations

from collections import deque

import asyncssh
from asyncssh.channel import SSHChannel

from banger.api.stream import STDERR
from banger.client.aio import DaemonStream
from banger.errors import BangerError


class Bridge:
    """The callbacks of a channel (asyncssh's) and those of a stream (`client.aio.Receiver`)."""

    def __init__(self) -> None:
        self._channel: SSHChannel[bytes] | None = None
        self._stream: DaemonStream | None = None
        self._input: deque[bytes] = deque()
        self._input_ended = False
        self.has_input_ended = self.has_output_ended = False
        self._is_holding = False
        """The channel is not read: the stream has no room, or is not there yet."""

    def attach(self, stream: DaemonStream) -> None:
        """Begin to pass data on; input may have come before."""
        self._stream = stream
        stream.start(self)
        self._pass_input()

    # --- the channel's callbacks ---

    def connection_made(self, chan: SSHChannel[bytes]) -> None:
        """Keep the channel."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Take input of the client."""
        self._input.append(data)
        self._pass_input()

    def eof_received(self) -> bool:
        """Note that no more input comes; the channel stays open for output."""
        self._input_ended = self.has_input_ended = True
        self._pass_input()
        return True

    def pause_writing(self) -> None:
        """Read no more output: the client does not take it."""
        if self._stream is not None:
            self._stream.pause()

    def resume_writing(self) -> None:
        """Read output again."""
        if self._stream is not None:
            self._stream.resume()

    # --- the stream's callbacks ---

    def output(self, channel: int, data: bytes) -> None:
        """Send output to the client, or drop it if the client has gone."""
        if self._channel is None or self._channel.is_closing():
            return
        kind = asyncssh.EXTENDED_DATA_STDERR if channel == STDERR else None
        self._channel.write(data, kind)

    def output_ended(self) -> None:
        """Tell the client that no more output comes."""
        self.has_output_ended = True
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()

    def may_send(self) -> None:
        """Pass on input that has waited."""
        self._pass_input()

    def ended(self, exit_: dict[str, int], error: BangerError | None) -> None:
        """Close the channel, after what is still to be sent."""
        if self._channel is not None:
            self._channel.close()

    # --- private ---

    def _pass_input(self) -> None:
        """Send what the stream has room for, and read the channel only if nothing is left."""
        stream = self._stream
        while stream is not None and self._input and (room := stream.room):
            data = self._input.popleft()
            if len(data) > room:
                self._input.appendleft(data[room:])
            stream.send(memoryview(data)[:room])
        self._hold(bool(self._input))
        if self._input_ended and stream is not None and not self._input:
            self._input_ended = False
            stream.control({"eof": True})

    def _hold(self, is_holding: bool) -> None:
        if self._channel is None or is_holding == self._is_holding:
            return
        self._is_holding = is_holding
        if is_holding:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()
