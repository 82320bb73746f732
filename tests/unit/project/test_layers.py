"""The rooms import each other as docs/architecture.md says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.unit.project.sources import CHECKOUT


def test_layers_are_kept() -> None:
    # A process of its own: import-linter turns off the loggers of the one that it is in.
    program = Path(sys.executable).parent / "lint-imports"
    linted = subprocess.run(
        [program, "--config", "pyproject.toml", "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout
