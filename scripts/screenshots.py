"""Writes the screenshots of docs/web.md.

    python -m scripts.screenshots LINK VM

LINK is what `banger ui --no-browser` prints, VM the ID of a VM with a workspace that changed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.support.artifacts import CHECKOUT
from tests.support.browsers import find_browser, open_page

FOLDER = CHECKOUT / "docs/page"
SETTLED_S = 4
"""For terminals and tables to be drawn."""


def main() -> None:
    """Visit each view, and write what it looks like."""
    link, vm = sys.argv[1:]
    program = find_browser()
    assert program is not None, "no browser is installed"
    with tempfile.TemporaryDirectory() as profile, open_page(program, Path(profile)) as page:
        page.resize(1000, 640)
        page.visit(link)
        views = {name: f"vm/{vm}/{name}" for name in ("terminal", "changes", "snapshots")}
        for name, place in {"list": "", **views}.items():
            page.run(f"location.hash = '#/{place}'; 0")
            time.sleep(SETTLED_S)
            (FOLDER / f"{name}.png").write_bytes(page.screenshot())


if __name__ == "__main__":
    main()
