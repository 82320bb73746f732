"""The way to the daemon, for programs with an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from banger.api.stream import MAX_PAYLOAD_BYTES
from banger.client.aio import DaemonStream, adopt_socket, connect_stream, converse
from banger.client.connect import connect
from banger.client.conversation import Conversation
from banger.errors import DaemonUnreachable
from banger.layout import layout_from_environment
from banger.sdk.command import OnOutput, Output

if TYPE_CHECKING:
    from banger.client.calls import AsyncCall
    from banger.client.conversation import OnEvent


class AsyncDaemon:
    """The daemon of this user, which is started if none runs.

    `replaces`: one of another version is replaced; not for a process that outlives upgrades.
    """

    def __init__(self, *, autostart: bool = True, replaces: bool = True) -> None:
        self._layout = layout_from_environment(os.environ)
        self._autostart = autostart
        self._replaces = autostart and replaces

    @property
    def call(self) -> AsyncCall:
        """Any method of the API by its name: `await client.call("vm.list")`. Not for streams."""
        return self._request

    if not TYPE_CHECKING:

        async def _request(self, method: str, params: Mapping[str, object] | None = None) -> object:
            with contextlib.closing(await self.open(method, params or {})) as stream:
                return stream.result

    else:
        _request: AsyncCall

    async def open(
        self, method: str, params: Mapping[str, object], on_event: OnEvent | None = None
    ) -> DaemonStream:
        """Call a method and keep the connection, for streams of the API."""
        conversation = Conversation(replaces=self._replaces, environ=os.environ)
        return await converse(conversation, self._connect, method, params, on_event)

    async def _connect(self) -> DaemonStream:
        try:
            return await connect_stream(self._layout.daemon_socket_name)
        except DaemonUnreachable:
            # This one also finds a daemon elsewhere, and says why there is none.
            sock = await asyncio.to_thread(connect, self._layout, autostart=self._autostart)
            return await adopt_socket(sock)

    async def exchange(
        self,
        method: str,
        params: Mapping[str, object],
        data: bytes | None = None,
        *,
        on_output: OnOutput | None = None,
    ) -> Output:
        """Call a `stream` method: send all data, take all that comes, up to the end."""
        with contextlib.closing(await self.open(method, params)) as stream:
            running = _Running(stream, data, Output(on_output))
            stream.start(running)
            running.collected.exit = await running.exit
        return running.collected


class _Running:
    """What a command's stream calls back: it collects the output, and sends the input."""

    def __init__(self, stream: DaemonStream, data: bytes | None, collected: Output) -> None:
        self._stream = stream
        self._rest = None if data is None else memoryview(data)
        self.collected = collected
        self.exit: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()
        self.may_send()

    def output(self, channel: int, data: bytes) -> None:
        try:
            self.collected.take(channel, data)
        except Exception as error:  # noqa: BLE001 - raised where the end is awaited
            self.ended({}, error)
            self._stream.close()

    def output_ended(self) -> None:
        """Do nothing: the end follows."""

    def may_send(self) -> None:
        while self._rest and (room := self._stream.room):
            piece = self._rest[: min(room, MAX_PAYLOAD_BYTES)]
            self._stream.send(piece)
            self._rest = self._rest[len(piece) :]
        if self._rest is not None and not self._rest:
            self._rest = None
            self._stream.control({"eof": True})

    def ended(self, exit_: dict[str, int], error: Exception | None) -> None:
        if self.exit.done():
            return
        if error is None:
            self.exit.set_result(exit_)
        else:
            self.exit.set_exception(error)
