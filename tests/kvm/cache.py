"""What is kept between runs: `kvm-*` directories in the tests' cache, named by their content.

Each is made aside and published by a rename, so any number of runs may read and add at once;
those that nobody used for two weeks are removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from banger.host.files import publish_dir

KEEP_UNUSED_S = 14 * 86400


async def cached(cache: Path, name: str, make: Callable[[Path], Awaitable[None]]) -> Path:
    """Return the directory of this name, made aside and renamed if it is not there."""
    target = cache / name
    if not target.is_dir():
        staged = Path(tempfile.mkdtemp(dir=cache, prefix="kvm-making-"))
        try:
            await make(staged)
            publish_dir(staged, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    os.utime(target)
    return target


def forget_unused(cache: Path) -> None:
    for old in cache.glob("kvm-*"):
        if time.time() - old.stat().st_mtime > KEEP_UNUSED_S:
            shutil.rmtree(old, ignore_errors=True)


def content_hash(*contents: bytes) -> str:
    """Return a short name for contents."""
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:12]
