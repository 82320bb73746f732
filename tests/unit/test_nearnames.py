"""Near names, for everything that has a name (H6)."""

from __future__ import annotations

import pytest

from banger.images.catalogue import find_near_name
from banger.nearnames import LENGTH_MAX, find_near, format_near_hint


@pytest.mark.parametrize(
    ("typed", "known", "near"),
    [
        ("wbe1", ["web1", "db1"], "web1"),
        ("rnu", ["run", "list"], "run"),
        ("WEB1", ["web1"], "web1"),
        ("--inc", ["--include-untracked", "--image"], "--include-untracked"),
        ("vm_defaults.memory", ["vm_defaults.memory_mib", "driver"], "vm_defaults.memory_mib"),
        ("inspect", ["set", "list"], None),
        ("rename", ["resume"], None),
        ("", ["web1"], None),
        ("a" * (LENGTH_MAX + 1), ["a" * (LENGTH_MAX + 2)], None),
    ],
)
def test_a_near_name_is_one_with_a_slip(typed: str, known: list[str], near: str | None) -> None:
    """H6: words that only have some letters in common are not near."""
    assert find_near(typed, known) == near


def test_a_hint_shows_where_all_names_are() -> None:
    assert format_near_hint("wbe1", ["web1"], see="banger vm list") == (
        "did you mean web1? (banger vm list shows all)"
    )
    assert format_near_hint("xyz", ["web1"], see="banger vm list") == "banger vm list"


@pytest.mark.parametrize(
    ("typed", "image"),
    [
        ("debian-12", "debian-bookworm"),
        ("debian12", "debian-bookworm"),
        ("debian:12-slim", "debian-bookworm"),
        ("12", "debian-bookworm"),
        ("Debian-13", "debian-trixie"),
        ("debian-11", "debian-bullseye"),
        ("debian", "debian-bookworm"),
        ("bookwrom", "debian-bookworm"),
        ("trixi", "debian-trixie"),
        ("debain-bookworm", "debian-bookworm"),
        ("my-ig", "my-img"),
        ("debian-7", None),
        ("alpine", None),
    ],
)
def test_debian_is_known_by_its_numbers_and_names(typed: str, image: str | None) -> None:
    assert find_near_name(typed, ["my-img"]) == image
