"""`vm.copy_in`, `vm.copy_out`, `vm.watch_files`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from banger.api.method import serves
from banger.api.requests import VmCopyIn, VmCopyOut, VmWatchFiles
from banger.api.results import StartedStream
from banger.api.stream import CONTROL, STDOUT, parse_control
from banger.api.wire import format_line
from banger.daemon.calls import DONE, Call, Exit, Stream
from banger.engine.state.engine import Engine
from banger.engine.verbs.copies import copy_in, find_copy_target, open_copy_out, watch_files
from banger.errors import Cancelled, InvalidRequest

BUFFER_BYTES = 1024 * 1024
"""Of a copy's output, for each copy: the guest packs on while the client writes."""


@serves("vm.copy_out")
async def send_copy(engine: Engine, call: Call, params: VmCopyOut) -> Exit:
    """Send a file or a tree."""
    async with open_copy_out(engine, params) as copy:
        chunks = aiter(copy.untrusted_chunks)
        # Fetch the first chunk early: an error at the start becomes a plain error reply.
        chunk = await anext(chunks, None)
        stream = await call.start_stream(copy.started)
        stream.buffer_output(BUFFER_BYTES)
        while chunk is not None:
            await stream.write(STDOUT, chunk)
            chunk = await anext(chunks, None)
    return DONE


@serves("vm.copy_in")
async def receive_copy(engine: Engine, call: Call, params: VmCopyIn) -> Exit:
    """Extract what the client sends."""
    target = await find_copy_target(engine, params)
    stream = await call.start_stream(StartedStream())
    async with contextlib.aclosing(_sent(stream)) as chunks:
        await copy_in(target, chunks)
    return DONE


@serves("vm.watch_files")
async def tell_changes(engine: Engine, call: Call, params: VmWatchFiles) -> Exit:
    """Send changes, a line each."""
    async with watch_files(engine, params) as changes:
        stream = await call.start_stream(StartedStream())
        async for change in changes:
            await stream.write(STDOUT, format_line(change))
    return DONE


async def _sent(stream: Stream) -> AsyncGenerator[bytes, None]:
    """Yield what the client sends, up to its end of file; what was taken may be sent anew.

    Raises:
        Cancelled: the client has left before that.
    """
    async for channel, untrusted_payload in stream.frames():
        if channel != CONTROL:
            yield untrusted_payload
            stream.grant(len(untrusted_payload))
        elif parse_control(untrusted_payload) == {"eof": True}:
            return
        else:
            raise InvalidRequest("The control frame is unknown.")
    raise Cancelled("The client left.")
