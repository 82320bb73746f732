"""Which Firecracker is taken, and what is asked of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import ToolFailed
from banger.vmm.firecracker.versions import (
    BEYOND,
    BROKEN,
    OLDEST,
    SINCE,
    Feature,
    features_of,
    find_obstacle,
    format_version,
    parse_version,
)

versions = st.tuples(*[st.integers(0, 9999)] * 3)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Firecracker v1.12.1\n\nSupported snapshot data format versions: v6.0.0", (1, 12, 1)),
        ("1.12.1", (1, 12, 1)),
        ("1.17.0-dev", (1, 17, 0)),
        ("Firecracker v1.16.1-abcdef-dirty", (1, 16, 1)),
    ],
)
def test_the_version_is_read(said: str, version: tuple[int, int, int]) -> None:
    assert parse_version(said) == version


@given(st.one_of(st.text(), st.from_regex(r"v?[0-9.]*")))
def test_anything_else_is_an_error_of_ours(said: str) -> None:
    try:
        version = parse_version(said)
    except ToolFailed:
        return
    assert all(0 <= part <= 9999 for part in version)


@given(versions)
def test_a_version_is_written_as_it_is_read(version: tuple[int, int, int]) -> None:
    assert parse_version(f"Firecracker v{format_version(version)}") == version


@given(versions)
def test_what_is_outside_of_the_window_is_refused_with_the_reason(
    version: tuple[int, int, int],
) -> None:
    obstacle = find_obstacle(version)
    assert (obstacle is None) == (OLDEST <= version < BEYOND and version not in BROKEN)
    assert obstacle is None or format_version(version) in obstacle


@pytest.mark.parametrize("version", BROKEN)
def test_a_version_that_does_not_work_is_refused_and_its_neighbours_are_not(
    version: tuple[int, int, int],
) -> None:
    """D3, D4: a guest that nobody reaches after a restore or a pause."""
    assert "no longer accepts connections" in (find_obstacle(version) or "")
    assert find_obstacle((1, 15, 9999)) is None
    assert find_obstacle((1, 16, 2)) is None


def test_a_feature_begins_with_its_version() -> None:
    assert set(SINCE) == set(Feature)
    for feature, (major, minor, patch) in SINCE.items():
        assert OLDEST < (major, minor, patch) < BEYOND, "else it is none"
        assert feature in features_of((major, minor, patch))
        assert feature not in features_of((major, minor - 1, 9999))
    assert features_of(OLDEST) == frozenset()
