"""Lines of JSON that come by a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from banger.sdk.aio.stream import AsyncStream


async def read_lines(stream: AsyncStream) -> AsyncIterator[Any]:
    """Yield the documents as they come, until the stream ends."""
    rest = b""
    async for _, data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)
