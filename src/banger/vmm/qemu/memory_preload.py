"""The library that is preloaded into QEMU to keep the memory file of clones unchanged.

`native/memory-preload/memory_preload.c` says what it does, ADR 0031 why. Memory files are not
writable (mode 0400, read-only in the jail), so a QEMU without the library does not start.
Changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from banger.host import programs

FOLDER = Path(__file__).with_name("memory-preload")


def find_memory_preload() -> Path:
    """Return the library for this machine's architecture.

    Raises:
        HostNotReady: the package was built without it.
    """
    return programs.find_packaged(
        FOLDER,
        "banger-memory-preload.so",
        what="memory preload library",
        hint="banger vm run --no-template",
    )


def preload_variables(library: str, memory: Path) -> dict[str, str]:
    """Return the variables that make QEMU load `library` and keep `memory`."""
    return {"LD_PRELOAD": library, "BANGER_MEMORY": os.fspath(memory)}
