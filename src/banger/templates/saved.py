"""The files of a saved machine, which templates and snapshots share.

`memory` holds a clone's initial memory, `state` its device state and `data.img` its data disk.
They are written in `staging/`, published by one rename with a manifest of their sizes and
modification times, and never written again.

Every use compares the sizes, the times and the hash of the small state file. A memory file is too
large to be read for each clone; banger never writes it once published, so a changed time means
that another program did.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from msgspec import Struct

from banger.errors import TemplateUnusable
from banger.host.files import LIMITS, ensure_private_dir, fsync_file
from banger.layout import Layout

MEMORY = "memory"
STATE = "state"
DATA = "data.img"
MANIFEST = "manifest.json"
FILES = (MEMORY, STATE, DATA)


class SavedFile(Struct, frozen=True, kw_only=True):
    size: int
    mtime_ns: int


class SavedFiles(Struct, frozen=True, kw_only=True):
    """The manifest's facts about the files."""

    state_sha256: str
    files: dict[str, SavedFile]


def seal_files(staged: Path, *, is_durable: bool) -> SavedFiles:
    """Make complete files read-only and return the manifest's facts about them.

    `is_durable`: flush the files to disk first.
    """
    for name in FILES:
        (staged / name).chmod(0o400)
    if is_durable:
        for name in FILES:
            fsync_file(staged / name)
    return SavedFiles(
        state_sha256=hashlib.sha256((staged / STATE).read_bytes()).hexdigest(),
        files={name: _look(staged / name) for name in FILES},
    )


def require_intact(folder: Path, saved: SavedFiles, *, what: str) -> None:
    """Check that the files are unchanged since they were sealed.

    Raises:
        TemplateUnusable: a file changed; `what` names the template or snapshot.
    """
    try:
        intact = all(_look(folder / name) == saved.files[name] for name in FILES)
        state_sha256 = hashlib.sha256((folder / STATE).read_bytes()).hexdigest()
    except (OSError, KeyError) as error:
        if isinstance(error, OSError) and error.errno in LIMITS:
            raise
        raise TemplateUnusable(f"The {what} is damaged: {error}.") from error
    if not intact or state_sha256 != saved.state_sha256:
        raise TemplateUnusable(f"The {what} was changed after it was made.")


def remove_saved(layout: Layout, folder: Path) -> bool:
    """Remove a saved machine; False if there is none. Running clones keep their open files."""
    ensure_private_dir(layout.staging)
    aside = tempfile.mkdtemp(dir=layout.staging, prefix="removed.")
    try:
        os.rename(folder, aside)
    except FileNotFoundError:
        return False
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def disk_bytes(folder: Path) -> int:
    """Return the disk space of a saved machine, in bytes."""
    try:
        return sum(path.stat().st_blocks * 512 for path in list(folder.iterdir()))
    except FileNotFoundError:
        return 0


def _look(path: Path) -> SavedFile:
    facts = path.stat()
    return SavedFile(size=facts.st_size, mtime_ns=facts.st_mtime_ns)
