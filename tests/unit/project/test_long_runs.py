"""What `make test-long` names is there: its parts start months after somebody moved a test."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.long import RUNS, Run
from tests.unit.project.sources import CHECKOUT

TESTS = CHECKOUT / "tests"


@cache
def sources() -> str:
    files = (path for path in TESTS.rglob("*.py") if path != TESTS / "long.py")
    return "\n".join(path.read_text("utf-8") for path in files)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_what_a_run_names_is_there(run: Run) -> None:
    words = [word.removeprefix("--ignore=") for word in run.argv]
    paths = [Path(CHECKOUT, word) for word in words if "/" in word]
    if not run.is_pytest:
        paths.append(Path(CHECKOUT, words[0].replace(".", "/"), "__main__.py"))
    assert paths and all(path.exists() for path in paths)
    if "-k" in words:
        chosen = words[words.index("-k") + 1]
        assert re.search(rf"def test\w*{chosen}", paths[0].read_text("utf-8"))
    assert [name for name in run.environ if f'"{name}"' not in sources()] == []


def test_the_page_names_every_run() -> None:
    page = (CHECKOUT / "docs/testing.md").read_text("utf-8")
    assert [name for name in RUNS if f"`{name}`" not in page] == []
