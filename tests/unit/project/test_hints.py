"""Hints lead to what was meant: each names what there is, and none destroys (H6)."""

from __future__ import annotations

import pytest

from tests.unit.project.hints import find_faults, iterate_hints


def test_no_hint_destroys_or_names_what_there_is_not() -> None:
    """H6. All that can be read in our sources; what is only known later stands as X."""
    hints = list(iterate_hints())
    assert len(hints) > 150
    assert [(place, text, f) for place, text in hints if (f := find_faults(text))] == []


@pytest.mark.parametrize(
    ("hint", "fault"),
    [
        ("banger vm delete web1", "destroys"),
        ("stop one, or: banger vm prune --force", "destroys"),
        ("git -C X branch -D X", "destroys"),
        ("truncate -s 0 FILE", "destroys"),
        ("banger vm log web1", "no command ['vm', 'log', 'web1']"),
        ("banger vm list --tree", "vm list has no --tree"),
        ("--colour blue", "no --colour"),
        ("banger config show (template.sizes)", "no setting template.sizes"),
    ],
)
def test_a_wrong_hint_is_found(hint: str, fault: str) -> None:
    assert find_faults(hint) == [fault]
