"""Images and kernels that all test runs of this user share.

A run has a data directory of its own whose `images` and `kernels` are links
into the cache; staging stays private, since a daemon empties its own at start.
Artefacts are published by rename and never changed, so any number of runs may read
and add at once. The link's target carries a hash of the code that makes
the artefacts: a change of that code starts an empty directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
MAKERS = {
    "images": ("src/banger/images",),
    "kernels": ("src/banger/kernels", "native/agent"),
}
"""What decides the content of each artefact directory."""

SOURCES = {".py", ".c", ".h", ".toml", ".json"}
KEEP_UNUSED_S = 14 * 86400
CACHE = "BANGER_TEST_CACHE"
DATA = "BANGER_TEST_DATA"
"""Names the controller's data directory to its workers."""


def enter_cache() -> Path:
    """Return the cache of the tests, and name it to everything that this process starts.

    BANGER_TEST_CACHE moves it. A run has an XDG_CACHE_HOME of its own later on.
    """
    default = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = Path(os.environ.get(CACHE) or f"{default}/banger-tests")
    cache.mkdir(parents=True, exist_ok=True)
    os.environ[CACHE] = str(cache)
    return cache


def make_data_home(cache: Path) -> Path:
    """Make an XDG_DATA_HOME for one run, on the file system of the cache; remove it after.

    A worker's is in its controller's.
    """
    (cache / "runs").mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(dir=os.environ.get(DATA) or cache / "runs"))
    os.environ[DATA] = str(home)
    (home / "banger").mkdir(mode=0o700)
    for kind, makers in MAKERS.items():
        shared = cache / f"{kind}-{hash_sources(makers)}"
        shared.mkdir(mode=0o700, exist_ok=True)
        os.utime(shared)
        (home / "banger" / kind).symlink_to(shared)
        _forget_unused(cache, kind)
    _forget_unused(cache, "native")
    _forget_unused(cache, "packages")
    return home


NOT_MAKERS = tuple(
    f"src/banger/images/{name}"
    for name in ("layers", "registry", "commit.py", "content.py", "platforms.py", "signature.py")
)
"""Below them, but no recipe's image depends on these."""


def hash_sources(roots: Iterable[str]) -> str:
    """Return a short hash over the names and contents of the sources below `roots`."""
    digest = hashlib.sha256()
    for root in roots:
        for path in sorted((CHECKOUT / root).rglob("*")):
            name = str(path.relative_to(CHECKOUT))
            if path.suffix in SOURCES and path.is_file() and not name.startswith(NOT_MAKERS):
                digest.update(f"{name}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _forget_unused(cache: Path, kind: str) -> None:
    for old in cache.glob(f"{kind}-*"):
        if time.time() - old.stat().st_mtime > KEEP_UNUSED_S:
            shutil.rmtree(old, ignore_errors=True)
