"""Programs in C for tests, made from the sources of now; once for all workers and later runs.

They are kept in the tests' cache, below a hash of everything that they are made from. So another
checkout of the same sources, whose files are newer, builds nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.support.artifacts import CACHE, CHECKOUT

KIND = "native"
DEADLINE_S = 300


def build_shared(program: str, name: str, *variables: str) -> Path:
    """Return a file that the Makefile of `native/PROGRAM` makes, with these variables of make.

    The first asker builds it.
    """
    folder = Path(os.environ[CACHE], f"{KIND}-{_hash_inputs(program, variables)}")
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    built = folder / name
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            with tempfile.TemporaryDirectory(dir=folder) as aside:
                words = (f"OUT={aside}", f"PYTHON={sys.executable}", *variables, f"{aside}/{name}")
                make = ["make", "-s", "-C", str(CHECKOUT / "native" / program), *words]
                subprocess.run(make, check=True, timeout=DEADLINE_S)
                Path(aside, name).rename(built)
    return built


def _hash_inputs(program: str, variables: tuple[str, ...]) -> str:
    native = CHECKOUT / "native"
    shared = [*native.glob("*.mk"), native / "build.py", CHECKOUT / "pyproject.toml"]
    return hash_files(CHECKOUT, [*shared, *(native / program).rglob("*")], program, *variables)


def hash_files(top: Path, paths: Iterable[Path], *words: str) -> str:
    """Return a hash of these words and of the names and contents of the files below `top`."""
    digest = hashlib.sha256("\0".join(words).encode())
    for path in sorted(paths):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"\0{path.relative_to(top)}\0{content}".encode())
    return digest.hexdigest()[:12]
