"""A stream from its beginning to its end."""

from __future__ import annotations

from collections.abc import Mapping

from banger.sdk.aio.daemon import AsyncDaemon
from banger.sdk.command import OnOutput, Output


async def exchange(
    daemon: AsyncDaemon,
    method: str,
    params: Mapping[str, object],
    data: bytes | None = None,
    *,
    on_output: OnOutput | None = None,
) -> Output:
    """Call a `stream` method: send all data, take all that comes, up to the end."""
    output = Output(on_output)
    async with await daemon.open(method, params) as stream:
        stream.take = output.take
        if data is not None:
            await stream.send(data)
            stream.control({"eof": True})
        output.exit = await stream.wait()
    return output
