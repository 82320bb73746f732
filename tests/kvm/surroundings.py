"""The private directories of a run of the emulated host, and the cache that runs share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.support.artifacts import enter_cache, make_data_home


def enter(run: Path) -> Path:
    """Point this process at private directories; return the cache that runs share."""
    cache = enter_cache()
    # The users that an image build maps to must be able to pass through to TMPDIR.
    run.chmod(0o711)
    names = {"TMPDIR": "tmp", "XDG_RUNTIME_DIR": "r", "XDG_STATE_HOME": "s"}
    for variable, name in (names | {"XDG_CONFIG_HOME": "c"}).items():
        (run / name).mkdir(mode=0o700)
        os.environ[variable] = str(run / name)
    (run / "tmp").chmod(0o711)
    os.environ["XDG_DATA_HOME"] = str(make_data_home(cache))
    tempfile.tempdir = None
    return cache
