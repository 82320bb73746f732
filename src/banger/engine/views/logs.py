"""The logs of VMs, as they stand and as they grow. Changes nothing (B8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from banger import store
from banger.api.requests import VmLogs
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import correct_record, get_vm
from banger.host.tails import LogReader, find_tail
from banger.model.names import VmId
from banger.model.vm import LIVE

FOLLOW_INTERVAL_S = 0.2


async def open_log(engine: Engine, params: VmLogs) -> AsyncGenerator[bytes, None]:
    """Return the content of a log as it stands, and with `follow` what is added to it.

    What a guest wrote to its console is passed on as it is: the client decides what
    a terminal may see.
    """
    record = await get_vm(engine, params.ref)
    layout = engine.layout
    console = params.log == "console"
    path = layout.vm_console_log(record.id) if console else layout.vm_vmm_log(record.id)
    log = LogReader(path)
    if params.tail is not None:
        log = await asyncio.to_thread(_read_tail, path, max(params.tail, 0))
    return _read_log(engine, log, record.id if params.follow else None)


def _read_tail(path: Path, lines: int) -> LogReader:
    return LogReader.at(path, find_tail(path, lines))


async def _read_log(
    engine: Engine, log: LogReader, follow: VmId | None
) -> AsyncGenerator[bytes, None]:
    """Yield a log's bytes; then, while the VM to follow lives, what is added to it."""
    with engine.events.listening(follow) as listener:
        # Asked before reading, so that the last bytes of a VM that ends are not missed.
        live = follow is not None and await _is_live(engine, follow)
        while True:
            while chunk := await asyncio.to_thread(log.read):
                yield chunk
            if not live:
                return
            if await listener.wait(FOLLOW_INTERVAL_S):
                live = follow is not None and await _is_live(engine, follow)


async def _is_live(engine: Engine, vm_id: VmId) -> bool:
    record = await engine.database.read(store.find_vm, vm_id)
    return record is not None and correct_record(engine, record).state in LIVE
