"""Events of VMs across restarts of the daemon.

A daemon that goes away takes its events with it; the next one tells what it knows, and `missed`
where something may be lacking. While none runs nothing happens to VMs, so none is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

from banger.client.events import WAIT_S
from banger.errors import DaemonUnreachable, VersionMismatch
from banger.sdk.aio.daemon import AsyncDaemon
from banger.sdk.aio.lines import read_lines
from banger.sdk.aio.stream import AsyncStream
from banger.sdk.options import Event

Params = dict[str, object]


@contextlib.asynccontextmanager
async def open_events(daemon: AsyncDaemon, params: Params) -> AsyncIterator[AsyncIterator[Event]]:
    """Listen for a block; what happens from its beginning on is not missed."""
    begun = time.time()
    async with (
        await daemon.open("vm.watch", params) as first,
        contextlib.aclosing(_read_events(first, params, begun)) as events,
    ):
        yield events


async def _read_events(
    stream: AsyncStream, params: Params, begun: float
) -> AsyncGenerator[Event, None]:
    later = {"since": begun, **params}
    while True:
        async with stream:
            try:
                async for event in read_lines(stream):
                    later["since"] = event["at"]
                    yield event
            except DaemonUnreachable:
                if not params["follow"]:
                    raise
            else:
                return
        stream = await _next_stream(later)


async def _next_stream(params: Params) -> AsyncStream:
    """Return the stream of the next daemon, as soon as there is one.

    Raises:
        VersionMismatch: there is one, which is not replaced for this.
    """
    daemon = AsyncDaemon(autostart=False)
    while True:
        try:
            return await daemon.open("vm.watch", params)
        except VersionMismatch:
            raise
        except DaemonUnreachable:
            await asyncio.sleep(WAIT_S)
