"""Named deadlines: each error says which wait has expired (hazard H9). Owns nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from banger.errors import DeadlineExceeded


@contextlib.asynccontextmanager
async def deadline(what: str, seconds: float | None) -> AsyncIterator[None]:
    """Raise DeadlineExceeded, which names the unfinished work, after `seconds`; None: never."""
    try:
        async with asyncio.timeout(seconds) as scope:
            yield
    except TimeoutError as error:
        if seconds is None or not scope.expired():
            raise
        raise DeadlineExceeded(
            f"{what[:1].upper()}{what[1:]} did not finish within {seconds:g} s."
        ) from error
