"""`vm.watch`."""

from __future__ import annotations

import msgspec

from banger import engine as verbs
from banger.api.requests import VmWatch
from banger.api.results import StartedStream
from banger.api.stream import STDOUT
from banger.daemon.calls import Call, Exit, Handlers
from banger.engine import Engine
from banger.model.vm import EventKind


def event_handlers(engine: Engine) -> Handlers:
    """Return the handler of `vm.watch`."""

    async def watch(call: Call, params: VmWatch) -> Exit:
        async with verbs.watch_vms(engine, params) as listener:
            stream = await call.start_stream(StartedStream())
            while True:
                event = await listener.next()
                await stream.write(STDOUT, msgspec.json.encode(event) + b"\n")
                if params.ref is not None and event.kind is EventKind.DELETED:
                    return {"status": 0}

    return {"vm.watch": watch}
