"""`vm.logs`, `vm.watch`: what a VM has written, and what happens to VMs."""

from __future__ import annotations

import contextlib

import msgspec

from banger.api.method import serves
from banger.api.requests import VmLogs, VmWatch
from banger.api.results import StartedStream
from banger.api.stream import STDOUT
from banger.daemon.calls import DONE, Call, Exit
from banger.engine.state.engine import Engine
from banger.engine.views.logs import open_log
from banger.engine.views.vms import watch_vms
from banger.model.vm import EventKind


@serves("vm.logs")
async def logs(engine: Engine, call: Call, params: VmLogs) -> Exit:
    """Send a log."""
    chunks = await open_log(engine, params)
    stream = await call.start_stream(StartedStream())
    async with contextlib.aclosing(chunks):
        async for chunk in chunks:
            await stream.write(STDOUT, chunk)
    return DONE


@serves("vm.watch")
async def watch(engine: Engine, call: Call, params: VmWatch) -> Exit:
    """Send events, a line each."""
    async with watch_vms(engine, params) as listener:
        stream = await call.start_stream(StartedStream())
        while event := await listener.next() if params.follow else listener.take():
            await stream.write(STDOUT, msgspec.json.encode(event) + b"\n")
            if params.ref is not None and event.kind is EventKind.DELETED:
                break
    return DONE
