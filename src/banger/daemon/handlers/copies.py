"""`vm.stat_file`, `vm.checksum_file`, `vm.copy_in`, `vm.copy_out`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from banger import engine as verbs
from banger.api.requests import VmChecksumFile, VmCopyIn, VmCopyOut, VmStatFile
from banger.api.results import FileChecksum, GuestFile, StartedStream
from banger.api.stream import CONTROL, STDOUT, parse_control
from banger.daemon.calls import Call, Exit, Handlers, Stream
from banger.engine import Engine
from banger.errors import Cancelled, InvalidRequest

DONE: Exit = {"status": 0}
BUFFER_BYTES = 1024 * 1024
"""Of a copy's output, for each copy: the guest packs on while the client writes."""


def copy_handlers(engine: Engine) -> Handlers:
    """Return the handlers of these methods."""

    async def stat_file(_: Call, params: VmStatFile) -> GuestFile:
        return await verbs.stat_file(engine, params)

    async def checksum_file(_: Call, params: VmChecksumFile) -> FileChecksum:
        return await verbs.checksum_file(engine, params)

    async def copy_out(call: Call, params: VmCopyOut) -> Exit:
        async with verbs.open_copy_out(engine, params) as copy:
            chunks = aiter(copy.untrusted_chunks)
            # Fetch the first chunk early: an error at the start becomes a plain error reply.
            chunk = await anext(chunks, None)
            stream = await call.start_stream(copy.started)
            stream.buffer_output(BUFFER_BYTES)
            while chunk is not None:
                await stream.write(STDOUT, chunk)
                chunk = await anext(chunks, None)
        return DONE

    async def copy_in(call: Call, params: VmCopyIn) -> Exit:
        target = await verbs.find_copy_target(engine, params)
        stream = await call.start_stream(StartedStream())
        async with contextlib.aclosing(_sent(stream)) as chunks:
            await verbs.copy_in(target, chunks)
        return DONE

    return {
        "vm.stat_file": stat_file,
        "vm.checksum_file": checksum_file,
        "vm.copy_out": copy_out,
        "vm.copy_in": copy_in,
    }


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
