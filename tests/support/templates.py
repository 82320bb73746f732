"""Templates that the installations of one run share, as a user's VMs share theirs.

A boot takes ten times as long as a clone. `lend_templates` gives a new installation what others of
the run have built, by hard links: a template's files are never written again. `keep_templates`
takes over what an installation has built since. The controller's directory serves all workers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from banger.layout import Layout
from banger.templates.cache import USES
from banger.templates.saved import MEMORY

SHARED = "BANGER_TEST_TEMPLATES"
"""Names the run's directory to its workers."""


def enter_templates() -> None:
    """Make the directory, unless this is a worker, whose controller has made one."""
    if SHARED not in os.environ:
        os.environ[SHARED] = str(Path(os.environ["XDG_DATA_HOME"], "shared-templates"))
        os.mkdir(os.environ[SHARED], 0o700)


def lend_templates(layout: Layout) -> None:
    """Give an installation the templates of the run that it has not got."""
    layout.templates.mkdir(mode=0o700, exist_ok=True)
    for folder in Path(os.environ[SHARED]).iterdir():
        if not (layout.templates / folder.name).exists():
            _link(folder, layout.templates / folder.name)


def keep_templates(layout: Layout) -> None:
    """Take over what an installation has built."""
    shared = Path(os.environ[SHARED])
    for folder in layout.templates.glob("*"):
        if not (shared / folder.name).exists():
            _link(folder, shared / folder.name)


def is_in_memory(layout: Layout, key: str, needle: bytes) -> bool:
    """Tell whether a template's memory has these bytes."""
    return any(needle in data for _, data in read_memory(layout, key))


def read_memory(layout: Layout, key: str) -> Iterator[tuple[int, bytes]]:
    """Yield a template's memory by place. Its holes are not read: most of it."""
    with open(layout.template_dir(key) / MEMORY, "rb") as file:
        end = 0
        while True:
            try:
                begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            # Not mapped: an error of reading is a failed test then, not a dead worker.
            yield begin, os.pread(file.fileno(), end - begin, begin)


def _link(source: Path, target: Path) -> None:
    """Publish a copy by one rename. Another worker may be first, and files may be gone by now."""
    aside = Path(tempfile.mkdtemp(dir=target.parent.parent))
    try:
        done = subprocess.run(["cp", "--archive", "--link", f"{source}/.", aside], check=False)
        (aside / USES).unlink(missing_ok=True)
        if done.returncode == 0:
            with contextlib.suppress(OSError):
                aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
