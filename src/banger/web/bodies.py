"""Bodies of requests: parameters as JSON, or the input of a stream.

A request with input has its parameters in the header `PARAMS_HEADER`. Its body is read as fast as
the stream takes it: at most two of the server's pieces wait here, and what the server has read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Never

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from banger.api import wire
from banger.api.method import Method
from banger.api.openapi import INPUT, PARAMS_HEADER
from banger.errors import Cancelled, DeadlineExceeded, InvalidRequest
from banger.web.answers import Refusal
from banger.web.streams import Streaming

JSON = "application/json"
BODY_S = 30.0
"""For a body of parameters."""


class Body:
    """The rest of a request: its input, if there is any, and then the end of the client."""

    def __init__(self, request: Request, *, is_input: bool) -> None:
        self._receive = request.receive
        self._coming: asyncio.Queue[Message] = asyncio.Queue()
        self._is_read = not is_input
        if not is_input:
            self._coming.put_nowait({})

    async def read(self) -> Never:
        """Read input as it is taken, then wait for the client to leave. May be called again.

        A body that is no input is discarded. While input waits, a disconnect is not noticed.

        Raises:
            Cancelled: the client has left.
        """
        while True:
            if not self._is_read:
                await self._coming.join()
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Cancelled("The client is gone.")
            if not self._is_read:
                self._is_read = not message.get("more_body", False)
                self._coming.put_nowait(message)

    async def output_of(self, streaming: Streaming) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield the channel and the bytes of a stream's output, while `read` gives it input.

        Raises: as `Streaming.read`.
        """
        sending = asyncio.ensure_future(self._send(streaming))
        try:
            while (output := await streaming.read()) is not None:
                yield output
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, streaming: Streaming) -> None:
        has_more = True
        while has_more:
            message = await self._coming.get()
            self._coming.task_done()
            await streaming.write(message.get("body", b""))
            has_more = message.get("more_body", False)
        streaming.end_input()


async def read_request(request: Request, method: Method) -> tuple[wire.Document, Body]:
    """Return the parameters of a method, and the rest of the request.

    Raises:
        Refusal, InvalidRequest, Cancelled: as `read_params`.
    """
    if not method.takes_input or _kind_of(request) != INPUT:
        return await read_params(request), Body(request, is_input=False)
    text = ",".join(request.headers.getlist(PARAMS_HEADER))
    params = wire.parse_line(text.encode("latin-1")) if text else {}
    if "stdin" in method.params.__struct_fields__:
        params.setdefault("stdin", True)
    return params, Body(request, is_input=True)


async def read_params(request: Request) -> wire.Document:
    """Return the object in a request's body; nothing means no parameters.

    Raises:
        Refusal: it is not JSON, too long, or does not come.
        InvalidRequest: it is no object.
        Cancelled: the client has left.
    """
    kind = _kind_of(request)
    body = await _read_body(request)
    if not body:
        return {}
    if kind != JSON:
        raise Refusal(415, InvalidRequest(f"The body must be JSON: Content-Type: {JSON}."))
    return wire.parse_line(body)


def _kind_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for data in request.stream():
                body += data
                if len(body) > wire.MAX_LINE_BYTES:
                    raise Refusal(413, InvalidRequest("The body is too long: the limit is 8 MiB."))
    except TimeoutError as error:
        late = DeadlineExceeded(f"The body did not arrive within {BODY_S:g} s.")
        raise Refusal(408, late) from error
    except ClientDisconnect as error:
        raise Cancelled("The client is gone.") from error
    return bytes(body)
