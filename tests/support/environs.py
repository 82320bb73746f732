"""Private environments: HOME and XDG directories of their own, below the run's directory."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

_numbers = itertools.count(1)


def make_short_dir(run_dir: Path) -> Path:
    """Make a fresh directory whose name is short enough for sockets."""
    directory = run_dir / str(next(_numbers))
    directory.mkdir(mode=0o700)
    return directory


def make_environ(directory: Path) -> dict[str, str]:
    """Return an environment with HOME and XDG directories below `directory`, which are made."""
    environ = dict(os.environ)
    for variable, name in (
        ("HOME", "h"),
        ("XDG_RUNTIME_DIR", "r"),
        ("XDG_STATE_HOME", "s"),
        ("XDG_DATA_HOME", "d"),
        ("XDG_CONFIG_HOME", "c"),
        ("XDG_CACHE_HOME", "k"),
    ):
        (directory / name).mkdir(mode=0o700)
        environ[variable] = str(directory / name)
    return environ
