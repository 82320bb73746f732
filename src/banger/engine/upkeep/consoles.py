"""Keep guests from filling the disk by their consoles.

A guest writes to its console as much as it likes (hazards A10, E2). The VMM appends to
the console log, so the file can be cut at any moment; what the guest writes while it
is cut may be lost. While no daemon runs nothing is cut: the next one does it.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from banger.engine.state.engine import Engine
from banger.host.tails import cut_log

log = logging.getLogger(__name__)

CONSOLE_LIMIT_BYTES = 8 * 1024 * 1024
CONSOLE_KEPT_BYTES = 1024 * 1024
"""How much of the end is kept when it is cut."""
INTERVAL_S = 5.0


async def keep_consoles_short(engine: Engine) -> None:
    """Look at the console logs of running VMs, for ever."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        running = [vm_id for vm_id, runtime in engine.runtimes.items() if runtime.attendants]
        # One turn of a thread for all: a turn for each was half of what an idle daemon did.
        await asyncio.to_thread(_shorten, [engine.layout.vm_console_log(v) for v in running])


def _shorten(logs: list[Path]) -> None:
    for path in logs:
        try:
            shorten_log(path)
        except OSError as error:
            log.warning("%s cannot be cut: %s", path, error)


def shorten_log(path: Path) -> None:
    """Cut a console log that is longer than the limit."""
    cut_log(path, limit_bytes=CONSOLE_LIMIT_BYTES, kept_bytes=CONSOLE_KEPT_BYTES)
