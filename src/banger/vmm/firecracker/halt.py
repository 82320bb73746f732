"""Whether a guest has halted: its Firecracker, which has no power to switch off, goes on alone.

A guest that powers itself off, by whatever its image has for that, ends in its kernel, which says
so on the console and stops the processors. Processes may live on, whose disks are gone, and have
the kernel complain behind these words. What the guest writes there is its own affair: one that lies
ends itself.

Reads the VM's console log, which begins with the VMM, from its start on: the guest may have halted
while no daemon ran.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path

from banger.host.tails import LogReader

POLL_S = 2.0
LOOK_BLOCKS = 1024
"""Most that is read in one look (64 MiB): so long a log is cut soon, and then looked at again."""
_WORDS = re.compile(rb"reboot: (?:Power down|System halted)\s")
_WORDS_BYTES = 24
"""As long as the longest of them, or longer."""


async def wait_halted(console_log: str) -> None:
    """Return when the guest has halted; perhaps never."""
    log = _Log(console_log)
    seen = -1
    while True:
        await asyncio.sleep(POLL_S)
        with contextlib.suppress(OSError):  # it may be gone with its VM
            size = os.stat(console_log).st_size
            if size != seen and await asyncio.to_thread(log.has_words):
                return
            seen = size


class _Log:
    """A console log, and what is looked for in it."""

    def __init__(self, path: str) -> None:
        self._reader = LogReader(Path(path))
        self._end = b""
        """Of what was read: the words may have come in pieces."""

    def has_words(self) -> bool:
        """Tell whether the words have come since the last look."""
        for _ in range(LOOK_BLOCKS):
            block = self._reader.read()
            if not block:
                return False
            text = self._end + block
            if _WORDS.search(text):
                return True
            self._end = text[-_WORDS_BYTES:]
        return False
