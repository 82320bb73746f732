"""`vm.exec`, `vm.sftp`, `vm.logs`, `vm.console`."""

from __future__ import annotations

import contextlib

from banger import engine as verbs
from banger.api.requests import VmExec, VmLogs, VmRef, VmSftp
from banger.api.results import StartedExec, StartedStream
from banger.api.stream import STDOUT
from banger.daemon.calls import Call, Exit, Handlers
from banger.daemon.relay import relay
from banger.engine import Engine

DONE: Exit = {"status": 0}


def guest_handlers(engine: Engine) -> Handlers:
    """Return the handlers of these methods."""

    async def run(call: Call, params: VmExec) -> Exit:
        session = await verbs.start_exec(engine, call.operation, params)
        try:
            stream = await call.start_stream(StartedExec(pid=session.pid))
            return await relay(stream, session, timeout_s=params.timeout_s)
        finally:
            await session.close()

    async def sftp(call: Call, params: VmSftp) -> Exit:
        async with await verbs.open_sftp(engine, call.operation, params) as session:
            stream = await call.start_stream(StartedStream())
            return await relay(stream, session, timeout_s=None)

    async def logs(call: Call, params: VmLogs) -> Exit:
        chunks = await verbs.open_log(engine, params)
        stream = await call.start_stream(StartedStream())
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                await stream.write(STDOUT, chunk)
        return DONE

    async def console(call: Call, params: VmRef) -> Exit:
        async with verbs.open_console(engine, params.ref) as session:
            stream = await call.start_stream(StartedStream())
            return await relay(stream, session, timeout_s=None)

    return {
        "vm.exec": run,
        "vm.sftp": sftp,
        "vm.logs": logs,
        "vm.console": console,
    }
