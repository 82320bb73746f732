"""The way to the daemon, for programs with an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from banger.client.aio import DaemonStream, adopt_socket, connect_stream, converse
from banger.client.connect import connect
from banger.client.conversation import Conversation
from banger.errors import DaemonUnreachable
from banger.layout import layout_from_environment
from banger.sdk.aio.stream import AsyncStream

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

    async def open(self, method: str, params: Mapping[str, object]) -> AsyncStream:
        """Call a method and keep the connection, for streams of the API."""
        return AsyncStream(await self.open_connection(method, params))

    async def open_connection(
        self, method: str, params: Mapping[str, object], on_event: OnEvent | None = None
    ) -> DaemonStream:
        """Do the same for a receiver that is called back."""
        conversation = Conversation(replaces=self._replaces, environ=os.environ)
        return await converse(conversation, self._connect, method, params, on_event)

    async def _connect(self) -> DaemonStream:
        try:
            return await connect_stream(self._layout.daemon_socket_name)
        except DaemonUnreachable:
            # This one also finds a daemon elsewhere, and says why there is none.
            sock = await asyncio.to_thread(connect, self._layout, autostart=self._autostart)
            return await adopt_socket(sock)
