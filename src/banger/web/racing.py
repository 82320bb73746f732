"""Work and answers that continue until something ends them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Never, TypeVar

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from banger.errors import BangerError

T = TypeVar("T")
End = Callable[[], Coroutine[object, object, Never]]
"""What waits for an end, and raises the error that says so."""


async def run_until(work: Coroutine[object, object, T], *ends: End) -> T:
    """Return the result of work, or raise what the first of the ends raises. All are cancelled."""
    working = asyncio.ensure_future(work)
    ending = [asyncio.ensure_future(end()) for end in ends]
    try:
        await asyncio.wait({working, *ending}, return_when=asyncio.FIRST_COMPLETED)
        for end in ending:
            if end.done() and not working.done():
                end.result()
        return working.result()
    finally:
        for task in (working, *ending):
            task.cancel()
        await asyncio.gather(working, *ending, return_exceptions=True)


class AnswerUntil(StreamingResponse):
    """An answer in pieces, which has no end if it fails or something ends it before.

    One of `ends` has to be the client's: only there is known who reads its body.
    """

    def __init__(self, content: AsyncIterator[str | bytes], media_type: str, *ends: End) -> None:
        super().__init__(content, media_type=media_type)
        self._ends = ends

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces."""
        with contextlib.suppress(BangerError):
            await run_until(super().__call__(scope, receive, send), *self._ends)

    async def listen_for_disconnect(self, receive: Receive) -> None:  # noqa: ARG002 - starlette's
        """Wait: what the client sends is read by one of the ends."""
        await asyncio.get_running_loop().create_future()
