"""`POST /api/METHOD`: any method of the API, as a JSON document or as a stream of events.

A client that leaves ends its request, as for every client of the daemon.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from functools import partial
from typing import Never, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from banger.api import wire
from banger.api.method import Method
from banger.api.table import METHODS
from banger.client.aio import DaemonStream
from banger.errors import BangerError, Cancelled, DeadlineExceeded, InvalidRequest, UnknownMethod
from banger.web.answers import Refusal, render_json
from banger.web.front import Front, front_of, require_scope, until_invalid
from banger.web.racing import End, run_until
from banger.web.sse import Event
from banger.web.streams import Streaming

EVENTS, BYTES = "text/event-stream", "application/octet-stream"
BODY_S = 30.0
"""For a request's body."""
T = TypeVar("T")


async def serve_call(request: Request) -> Response:
    """Run a method."""
    method = METHODS.get(request.path_params["method"])
    if method is None:
        raise UnknownMethod("There is no such method.", hint="banger api-spec --openapi")
    await require_scope(request, method.scope)
    params = await read_params(request)
    front, accepted = front_of(request), request.headers.get("accept", "")
    if EVENTS in accepted:
        return front.events.answer(_follow(front, method, params), partial(until_invalid, request))
    if not method.stream:
        return render_json(await unless_gone(request, _call(front, method, params)))
    if accepted and not any(kind in accepted for kind in (BYTES, "*/*", "application/*")):
        error = InvalidRequest(f"{method.name} is a stream: Accept: {EVENTS}, or {BYTES}.")
        raise Refusal(406, error)
    stream = await unless_gone(request, front.daemon.open_connection(method.name, params))
    return OutputAnswer(stream, partial(until_invalid, request))


async def read_params(request: Request) -> wire.Document:
    """Return the object in a request's body; nothing means no parameters.

    Raises:
        Refusal: it is not JSON, too long, or does not come.
        InvalidRequest: it is no object.
        Cancelled: the client has left.
    """
    body = await _read_body(request)
    if not body:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        error = InvalidRequest("The body has to be JSON: Content-Type: application/json.")
        raise Refusal(415, error)
    return wire.parse_line(body)


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for data in request.stream():
                body += data
                if len(body) > wire.MAX_LINE_BYTES:
                    raise Refusal(413, InvalidRequest("The body is too long: the limit is 8 MiB."))
    except TimeoutError as error:
        late = DeadlineExceeded(f"The body did not come within {BODY_S:g} s.")
        raise Refusal(408, late) from error
    except ClientDisconnect as error:
        raise Cancelled("The client is gone.") from error
    return bytes(body)


async def _call(front: Front, method: Method, params: Mapping[str, object]) -> object:
    with contextlib.closing(await front.daemon.open_connection(method.name, params)) as stream:
        return stream.result


async def _follow(
    front: Front, method: Method, params: wire.Document
) -> AsyncGenerator[Event, None]:
    """Yield what is told of a method while it runs, then its result or error."""
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
            streaming = _without_input(stream)
            while (output := await streaming.read()) is not None:
                text = base64.b64encode(output[1]).decode("ascii")
                yield "output", {"channel": output[0], "data": text}, None
            assert isinstance(result, dict)
            result = {**result, "exit": streaming.exit}
        yield "result", result, None
    except BangerError as error:
        yield "error", error.as_document(), None
    finally:
        opening.cancel()
        if opening.done() and not opening.cancelled() and opening.exception() is None:
            opening.result().close()


def _without_input(stream: DaemonStream) -> Streaming:
    streaming = Streaming(stream)
    stream.control({"eof": True})
    return streaming


class OutputAnswer(StreamingResponse):
    """The bytes of a stream as they come; the connection breaks if the stream fails."""

    def __init__(self, stream: DaemonStream, end: End) -> None:
        super().__init__(self._read(_without_input(stream)), media_type=BYTES)
        self._stream = stream
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes; a failure leaves the answer without its end."""
        with contextlib.closing(self._stream), contextlib.suppress(BangerError):
            await run_until(super().__call__(scope, receive, send), self._end)

    async def _read(self, streaming: Streaming) -> AsyncIterator[bytes]:
        while (output := await streaming.read()) is not None:
            yield output[1]


async def unless_gone(request: Request, work: Coroutine[object, object, T]) -> T:
    """Return the result of work, which is cancelled if the client leaves or loses its token.

    Raises:
        Cancelled: the client has left.
        TokenInvalid: its token was deleted, or has expired.
    """
    return await run_until(work, partial(_wait_gone, request), partial(until_invalid, request))


async def _wait_gone(request: Request) -> Never:
    while (await request.receive())["type"] != "http.disconnect":
        """What follows the body says nothing."""
    raise Cancelled("The client is gone.")
