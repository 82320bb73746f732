"""Golden files: what a pure function renders, as it was when somebody last looked at it.

`BANGER_TEST_UPDATE_GOLDEN=1` rewrites them; the difference is then read in the commit.
"""

from __future__ import annotations

import os
from pathlib import Path


def check_golden(path: Path, rendered: str) -> None:
    """Compare with the golden file, or rewrite it."""
    if os.environ.get("BANGER_TEST_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(rendered, "utf-8")
    assert rendered == path.read_text("utf-8"), f"{path.name} differs"
