"""`vm.exec`, `vm.sftp`, `vm.console`: join the client's stream with a program of the guest."""

from __future__ import annotations

from banger.api.method import serves
from banger.api.requests import VmExec, VmSftp
from banger.api.results import StartedExec, StartedStream
from banger.daemon.calls import Call, Exit
from banger.daemon.relay import relay
from banger.engine.state.engine import Engine
from banger.engine.verbs.consoles import open_console
from banger.engine.verbs.execs import start_exec
from banger.engine.verbs.sftp import open_sftp


@serves("vm.exec")
async def run(engine: Engine, call: Call, params: VmExec) -> Exit:
    """Run a command."""
    session = await start_exec(engine, call.operation, params)
    try:
        stream = await call.start_stream(StartedExec(pid=session.pid))
        return await relay(stream, session, timeout_s=params.timeout_s)
    finally:
        await session.close()


@serves("vm.sftp")
async def sftp(engine: Engine, call: Call, params: VmSftp) -> Exit:
    """Join the stream with an SFTP server."""
    async with await open_sftp(engine, call.operation, params) as session:
        stream = await call.start_stream(StartedStream())
        return await relay(stream, session, timeout_s=None)


@serves("vm.console")
async def console(engine: Engine, call: Call, ref: str) -> Exit:
    """Join the stream with a serial console."""
    async with open_console(engine, ref) as session:
        stream = await call.start_stream(StartedStream())
        return await relay(stream, session, timeout_s=None)
