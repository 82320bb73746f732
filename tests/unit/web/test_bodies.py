"""How much of a request's body waits in the front, and for how long that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from starlette.requests import Request

from banger.errors import Cancelled
from banger.web import bodies
from banger.web.answers import Refusal
from banger.web.bodies import Body, read_params


class Unready:
    """A stream that takes no input, and gives no output."""

    async def write(self, _: bytes) -> None:
        await asyncio.Event().wait()

    async def read(self) -> None:
        await asyncio.Event().wait()


def test_a_body_is_read_as_it_is_taken() -> None:
    """H7: of an endless body whose stream takes nothing, one piece waits beside the one it has."""
    pieces = 0

    async def receive() -> Any:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def serve() -> None:
        request: Any = type("Request", (), {"receive": staticmethod(receive)})
        body = Body(request, is_input=True)
        streaming: Any = Unready()
        async with contextlib.aclosing(body.output_of(streaming)) as output:
            tasks = [asyncio.ensure_future(body.read()), asyncio.ensure_future(anext(output))]
            for _ in range(100):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(serve())
    assert pieces == 2


def test_a_disconnect_is_noticed_after_a_body_that_is_no_input() -> None:
    """H7: a request for events whose body comes in pieces."""
    piece = {"type": "http.request", "body": b"x", "more_body": True}
    coming = [piece, piece, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return coming.pop(0)

    async def serve() -> None:
        request: Any = type("Request", (), {"receive": staticmethod(receive)})
        await asyncio.wait_for(Body(request, is_input=False).read(), 60)

    with pytest.raises(Cancelled):
        asyncio.run(serve())


def test_parameters_that_do_not_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: a slow request."""
    monkeypatch.setattr(bodies, "BODY_S", 0.01)

    async def receive() -> Any:
        return await asyncio.Event().wait()

    with pytest.raises(Refusal) as refused:
        asyncio.run(read_params(Request({"type": "http", "headers": []}, receive)))
    assert (refused.value.status, refused.value.error.code) == (408, "deadline-exceeded")
