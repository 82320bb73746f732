"""Programs in C for tests, made from the sources of now; once for all workers and later runs.

They are kept in the tests' cache, below a hash of their sources; `make` tells what is to be built.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from tests.support.artifacts import CACHE, CHECKOUT, hash_sources

KIND = "native"
DEADLINE_S = 300


def build_shared(program: str, target: str, name: str) -> Path:
    """Return the file that `make TARGET` gives in `native/PROGRAM`; the first asker builds it."""
    sources = f"native/{program}"
    folder = Path(os.environ[CACHE], f"{KIND}-{hash_sources((sources,))}")
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-s", "-C", str(CHECKOUT / sources), f"OUT={folder}", target]
        subprocess.run(command, check=True, timeout=DEADLINE_S)
    return folder / name
