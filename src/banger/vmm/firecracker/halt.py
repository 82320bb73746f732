"""Whether a guest has halted: its Firecracker, which has no power to switch off, goes on alone.

A guest that powers itself off, by whatever its image has for that, ends in its kernel, which says
so last on the console and stops the processors. What the guest writes there is its own affair: one
that lies ends itself.

Reads the VM's console log, when that has changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re

POLL_S = 2.0
TAIL_BYTES = 200
NEW_BYTES = 64 * 1024
"""Most that is read of what came since the last look."""
_WORDS = re.compile(rb"reboot: (?:Power down|System halted)\s")
_LAST_WORDS = re.compile(_WORDS.pattern + rb"*\Z")


async def wait_halted(console_log: str) -> None:
    """Return when the guest has halted; perhaps never."""
    seen = -1
    while True:
        await asyncio.sleep(POLL_S)
        with contextlib.suppress(OSError):  # it may be gone with its VM
            size = os.stat(console_log).st_size
            if size != seen and await asyncio.to_thread(_has_halted, console_log, seen):
                return
            seen = size


def _has_halted(console_log: str, seen: int) -> bool:
    """Tell whether the words have come since `seen`; -1: whether they are the last.

    Processes may live on behind them, whose disks are gone, and have the kernel complain.
    """
    with open(console_log, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if seen < 0:
            file.seek(max(size - TAIL_BYTES, 0))
            return _LAST_WORDS.search(file.read(TAIL_BYTES)) is not None
        start = file.seek(max(seen - TAIL_BYTES, size - NEW_BYTES, 0))
        found = _WORDS.finditer(file.read(NEW_BYTES + TAIL_BYTES))
        return any(start + words.end() > seen for words in found)
