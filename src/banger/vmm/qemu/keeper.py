"""The keeper: a library in QEMU that keeps the memory file of many clones as it is.

`keeper/keeper.c` says what it does, ADR 0031 why. Memory files are not writable (mode 0400,
read-only in the sandbox), so a QEMU that has not loaded it does not start. Changes nothing.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from banger.errors import HostNotReady

FOLDER = Path(__file__).with_name("keeper")


def find_keeper() -> Path:
    """Return the keeper for this machine's architecture.

    Raises:
        HostNotReady: the package was built without it.
    """
    path = FOLDER / platform.machine() / "banger-keeper.so"
    if not path.exists():
        raise HostNotReady(
            f"This banger has no memory keeper for {platform.machine()}.",
            hint="banger vm run --no-template",
        )
    return path


def keeper_variables(library: str, memory: Path) -> dict[str, str]:
    """Return the variables that make QEMU load `library` and keep `memory`."""
    return {"LD_PRELOAD": library, "BANGER_MEMORY": os.fspath(memory)}
