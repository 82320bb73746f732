"""Read a guest's files and output with the checks of an export.

Owns nothing; the guest is hostile (hazards E1, E2).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from banger.errors import DeadlineExceeded, GuestProtocolError
from banger.guest import Completed, GuestFiles, GuestOutput
from banger.model.entries import GuestEntry


async def read_asked(
    guest: GuestFiles, path: str, names: Sequence[bytes], *, deadline_s: float
) -> AsyncGenerator[GuestEntry | bytes, None]:
    """Yield from `read_files`, and check that the guest sends only requested names (hazard E1).

    Raises:
        GuestProtocolError: the guest sent another name, or a name twice.
    """
    left = iter(names)
    async for item in guest.read_files(path, names, deadline_s=deadline_s):
        # `in` consumes all names of `left` up to the match.
        if isinstance(item, GuestEntry) and item.name not in left:
            raise GuestProtocolError(f"The guest sent a file unasked: {item.name!r:.200}.")
        yield item


async def read_output(
    output: GuestOutput, *, what: str, deadline_s: float
) -> AsyncGenerator[bytes | Completed, None]:
    """Yield a program's output, and finally its result; give up a guest that stalls.

    Raises:
        DeadlineExceeded: the program has not ended after `deadline_s`.
    """
    end = asyncio.get_running_loop().time() + deadline_s
    chunks = aiter(output)
    try:
        while True:
            # Around each wait, not around the yield: the consumer's time does not count.
            async with asyncio.timeout_at(end):
                untrusted_chunk = await anext(chunks, None)
            if untrusted_chunk is None:
                break
            yield untrusted_chunk
        async with asyncio.timeout_at(end):
            completed = await output.completed()
    except TimeoutError as error:
        raise DeadlineExceeded(f"{what} did not finish within {deadline_s:g} s.") from error
    yield completed
