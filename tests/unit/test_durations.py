"""Durations: read as people write them, written as they read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5s", 1.5), ("10m", 600), ("2h", 7200), ("3d", 259200), ("0.5h", 1800)],
)
def test_parse(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0h", "-1", "1 h", "h", "1w", "1e3", "inf", "٣", "1h30m"]
)
def test_refuse(text: str) -> None:
    assert parse_duration(text) is None


@given(st.integers(1, 999_999_999))
def test_a_pair(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
