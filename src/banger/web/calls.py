"""`POST /api/METHOD`: any method of the API, as a JSON document or as a stream of events.

A client that leaves ends its request, as for every client of the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from banger.api import wire
from banger.api.method import Method
from banger.api.table import METHODS
from banger.errors import Cancelled, DeadlineExceeded, InvalidRequest, UnknownMethod
from banger.web.answers import Refusal, render_json
from banger.web.front import Front, front_of, require_scope

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
    if method.stream:
        raise Refusal(406, InvalidRequest(f"{method.name} is a stream."))
    return render_json(await unless_gone(request, _call(front_of(request), method, params)))


async def read_params(request: Request) -> wire.Document:
    """Return the object in a request's body; nothing means no parameters.

    Raises:
        Refusal: it is not JSON, too long, or does not come.
        InvalidRequest: it is no object.
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
    return bytes(body)


async def _call(front: Front, method: Method, params: Mapping[str, object]) -> object:
    with contextlib.closing(await front.daemon.open(method.name, params)) as stream:
        return stream.result


async def unless_gone(request: Request, work: Coroutine[object, object, T]) -> T:
    """Return the result of work, which is cancelled if the client leaves.

    Raises:
        Cancelled: the client has left.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Cancelled("The client is gone.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _wait_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        """What follows the body says nothing."""
