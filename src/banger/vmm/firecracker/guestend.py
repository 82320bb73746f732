"""Tell how a guest ended from its kernel's messages on the console.

Firecracker has no power to switch off: with a guest that powers itself off, by whatever its image
has for that, it goes on alone. Its kernel says so and stops the processors; processes may live on,
whose disks are gone, and have the kernel complain behind these words. A guest that resets itself
ends its Firecracker, now and then with the status of a fault.

What a guest writes to its console is its own affair: one that lies ends itself. Reads the VM's
console log, which begins with the VMM, from its start on: it may have come while no daemon ran.
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
HALTED = re.compile(rb"reboot: (?:Power down|System halted)\s")
RESETS = re.compile(rb"reboot: Restarting system\b|Kernel panic - not syncing: ")
WORDS_BYTES = 32
"""As long as the longest of them, or longer."""


async def wait_halted(console_log: str) -> None:
    """Return when the guest has halted; perhaps never."""
    log = _Log(console_log, HALTED)
    seen = -1
    while True:
        await asyncio.sleep(POLL_S)
        with contextlib.suppress(OSError):  # it may be gone with its VM
            size = os.stat(console_log).st_size
            if size != seen and await asyncio.to_thread(log.has_words):
                return
            seen = size


def has_reset(console_log: str) -> bool:
    """Tell whether the guest has reset itself."""
    with contextlib.suppress(OSError):
        return _Log(console_log, RESETS).has_words()
    return False


class _Log:
    """A console log, and what is looked for in it."""

    def __init__(self, path: str, words: re.Pattern[bytes]) -> None:
        self._reader = LogReader(Path(path))
        self._words = words
        self._end = b""
        """Of what was read: the words may have come in pieces."""

    def has_words(self) -> bool:
        """Tell whether the words have come since the last look."""
        for _ in range(LOOK_BLOCKS):
            block = self._reader.read()
            if not block:
                return False
            text = self._end + block
            if self._words.search(text):
                return True
            self._end = text[-WORDS_BYTES:]
        return False
