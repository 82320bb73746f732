"""`POST /api/METHOD`: any method of the API, as a JSON document or as a stream of events or bytes.

A client that leaves ends its request, as for every client of the daemon.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from banger.api import wire
from banger.api.method import Method
from banger.api.table import METHODS
from banger.client.aio import DaemonStream
from banger.errors import BangerError, InvalidRequest, UnknownMethod
from banger.web.answers import Refusal, render_json
from banger.web.bodies import Body, read_request
from banger.web.front import Front, front_of, require_scope, until_invalid
from banger.web.racing import AnswerUntil, End, run_until
from banger.web.sse import Event
from banger.web.streams import Streaming

EVENTS, BYTES = "text/event-stream", "application/octet-stream"


async def serve_call(request: Request) -> Response:
    """Run a method."""
    method = METHODS.get(request.path_params["method"])
    if method is None:
        raise UnknownMethod("There is no such method.", hint="banger api-spec --openapi")
    await require_scope(request, method.scope)
    params, body = await read_request(request, method)
    front, accepted = front_of(request), request.headers.get("accept", "")
    end = partial(until_invalid, request)
    if EVENTS in accepted:
        return front.events.answer(_follow(front, method, params, body), end, body.read)
    if not method.stream:
        return render_json(await run_until(_call(front, method, params), body.read, end))
    if accepted and not any(kind in accepted for kind in (BYTES, "*/*", "application/*")):
        error = InvalidRequest(f"{method.name} is a stream: Accept: {EVENTS}, or {BYTES}.")
        raise Refusal(406, error)
    opening = front.daemon.open_connection(method.name, params)
    return OutputAnswer(await run_until(opening, body.read, end), body, end)


async def _call(front: Front, method: Method, params: Mapping[str, object]) -> object:
    with contextlib.closing(await front.daemon.open_connection(method.name, params)) as stream:
        return stream.result


async def _follow(
    front: Front, method: Method, params: wire.Document, body: Body
) -> AsyncGenerator[Event, None]:
    """Yield the events of a method while it runs, then its result or error."""
    told: asyncio.Queue[Event | None] = asyncio.Queue()
    opening = asyncio.ensure_future(
        front.daemon.open_connection(
            method.name, params, lambda kind, content: told.put_nowait((kind, content, None))
        )
    )
    opening.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while (event := await told.get()) is not None:
            yield event
        stream = await opening
        result = stream.result
        if method.stream:
            streaming = Streaming(stream)
            async with contextlib.aclosing(body.output_of(streaming)) as output:
                async for channel, data in output:
                    text = base64.b64encode(data).decode("ascii")
                    yield "output", {"channel": channel, "data": text}, None
            assert isinstance(result, dict)
            result = {**result, "exit": streaming.exit}
        yield "result", result, None
    except BangerError as error:
        yield "error", error.as_document(), None
    finally:
        opening.cancel()
        if opening.done() and not opening.cancelled() and opening.exception() is None:
            opening.result().close()


class OutputAnswer(AnswerUntil):
    """The bytes of a stream as they come; the connection breaks if the stream fails."""

    def __init__(self, stream: DaemonStream, body: Body, end: End) -> None:
        super().__init__(self._read(body), BYTES, end, body.read)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes; a failure leaves the answer without its end."""
        with contextlib.closing(self._stream):
            await super().__call__(scope, receive, send)

    async def _read(self, body: Body) -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(body.output_of(Streaming(self._stream))) as output:
            async for _, data in output:
                yield data
