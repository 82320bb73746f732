"""Patterns of excluded paths, from a request or a repository's file."""

from __future__ import annotations

import pytest

from banger.errors import InvalidRequest
from banger.model.excluding import PATTERNS_MAX, render_patterns, require_patterns


def test_patterns_are_lines() -> None:
    patterns = ["/assets/", "!*.pem", "with blank"]
    require_patterns(patterns)
    assert render_patterns(patterns) == b"/assets/\n!*.pem\nwith blank\n"


@pytest.mark.parametrize("bad", ["", "a\nb", "a\0", "# a comment", "x" * 1001, "\udcff"])
def test_what_is_no_line_is_refused(bad: str) -> None:
    """F4, F6: nothing becomes two patterns, or none."""
    with pytest.raises(InvalidRequest):
        require_patterns(["a", bad])


def test_too_many_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        require_patterns(["a"] * (PATTERNS_MAX + 1))
