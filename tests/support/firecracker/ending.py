"""The end of stand-ins that were killed."""

from __future__ import annotations

from pathlib import Path

from tests.support.installations import wait_for
from tests.support.leaks import find_processes


def wait_ended(directory: Path) -> None:
    """Return when nothing runs any more that was started in a directory, or below it.

    The agent of a stand-in that was killed ends by itself, a moment later.
    """
    wait_for(lambda: not find_processes(directory), "the stand-in's guests to end")
