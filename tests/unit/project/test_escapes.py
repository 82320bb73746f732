"""docs/escapes.md names tests that there are."""

from __future__ import annotations

import re

from tests.unit.project.sources import CHECKOUT

ROW = re.compile(r"^\| (?!attempt|-)(.+) \| (.+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`([a-z0-9_/]+\.py)`: `(test_\w+)`")


def test_each_attempt_is_made_by_a_test() -> None:
    """E4."""
    rows = ROW.findall((CHECKOUT / "docs/escapes.md").read_text("utf-8"))
    assert len(rows) >= 60
    assert len({attempt for attempt, _, _ in rows}) == len(rows)
    for attempt, _, where in rows:
        found = TEST.fullmatch(where)
        assert found or where == "the same", attempt
        if found:
            text = (CHECKOUT / "tests" / found[1]).read_text("utf-8")
            assert f"def {found[2]}(" in text, attempt
