"""Answers that are streams of events (`text/event-stream`), of which there is a bounded number.

An event is `(kind, content, id)`. While there is none, a comment shows that the stream lives.
A stream ends with the token of who asked for it: then an error is the last event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from banger.errors import BangerError, HostNotReady
from banger.web.answers import Refusal, format_json
from banger.web.racing import AnswerUntil, End

KEEP_ALIVE_S = 15.0
STREAMS = 100

Event = tuple[str | None, object, str | None]


class EventStreams:
    """The streams of events in progress."""

    def __init__(self) -> None:
        self._count = 0

    def answer(self, events: AsyncGenerator[Event, None], end: End, gone: End) -> AnswerUntil:
        """Return the answer that sends events as they come, until `end` or `gone` raises an error.

        The error of `end` is sent as the last event.

        Raises:
            Refusal: there are too many streams.
        """
        if self._count >= STREAMS:
            error = HostNotReady(f"There are already {STREAMS} streams of events.", retryable=True)
            raise Refusal(503, error)
        return AnswerUntil(self._render(events, end), "text/event-stream", gone)

    async def _render(self, events: AsyncGenerator[Event, None], end: End) -> AsyncIterator[str]:
        self._count += 1
        ending = asyncio.ensure_future(end())
        coming: asyncio.Task[Event | None] | None = None
        try:
            yield ": begun\n\n"
            while True:
                coming = coming or asyncio.ensure_future(anext(events, None))
                done, _ = await asyncio.wait(
                    {coming, ending}, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if ending in done:
                    ending.result()
                elif not done:
                    yield ": keep-alive\n\n"
                elif (event := coming.result()) is None:
                    return
                else:
                    coming = None
                    yield format_event(event)
        except BangerError as error:
            yield format_event(("error", error.as_document(), None))
        finally:
            self._count -= 1
            works = [task for task in (coming, ending) if task is not None]
            for task in works:
                task.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            await events.aclose()


def format_event(event: Event) -> str:
    """Return the lines of an event. JSON has no line end, so no text of a guest adds a line."""
    kind, content, number = event
    lines = [f"event: {kind}"] if kind else []
    lines += [f"id: {number}"] if number else []
    return "\n".join([*lines, f"data: {format_json(content)}"]) + "\n\n"
