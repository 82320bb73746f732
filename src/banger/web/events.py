"""`GET /api/events`: what happens to VMs, over as many daemons as there are.

An event's id is its time, with which a client that lost the stream goes on (`Last-Event-ID`).
The first daemon is started if none runs; after that the stream waits for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncGenerator
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from banger.api import wire
from banger.errors import BangerError, DaemonUnreachable, InvalidRequest, VersionMismatch
from banger.model.scopes import Scope
from banger.sdk.aio.daemon import AsyncDaemon
from banger.web.bodies import Body
from banger.web.front import front_of, require_scope, until_invalid
from banger.web.sse import Event
from banger.web.streams import Streaming

WAIT_S = 0.5
"""Between two looks for the next daemon."""


async def serve_events(request: Request) -> Response:
    """Send events of VMs."""
    await require_scope(request, Scope.READ)
    front = front_of(request)
    events = _watch(front.daemon, _read_query(request))
    body = Body(request, is_input=False)
    return front.events.answer(events, partial(until_invalid, request), body.read)


def _read_query(request: Request) -> wire.Document:
    """Return the parameters of `vm.watch`."""
    query = request.query_params
    params: wire.Document = {"kinds": query.getlist("kind"), "states": query.getlist("state")}
    if "ref" in query:
        params["ref"] = query["ref"]
    last = request.headers.get("last-event-id")
    since = last or query.get("since")
    if since is not None:
        try:
            at = float(since)
        except ValueError:
            at = math.nan
        if not math.isfinite(at):
            raise InvalidRequest("The time of an event must be a number of seconds.")
        params["since"] = math.nextafter(at, math.inf) if last else at
    return params


async def _watch(daemon: AsyncDaemon, params: wire.Document) -> AsyncGenerator[Event, None]:
    begun = time.time()
    while True:
        try:
            with contextlib.closing(await daemon.open_connection("vm.watch", params)) as stream:
                async for event in _read_lines(Streaming(stream)):
                    params["since"] = math.nextafter(event["at"], math.inf)
                    yield None, event, repr(event["at"])
                return
        except VersionMismatch as error:
            yield "error", error.as_document(), None
            return
        except DaemonUnreachable:
            await asyncio.sleep(WAIT_S)
        except BangerError as error:
            yield "error", error.as_document(), None
            return
        params.setdefault("since", begun)
        daemon = AsyncDaemon(autostart=False)


async def _read_lines(streaming: Streaming) -> AsyncGenerator[dict[str, float], None]:
    rest = b""
    while (output := await streaming.read()) is not None:
        *lines, rest = (rest + output[1]).split(b"\n")
        for line in lines:
            yield json.loads(line)
