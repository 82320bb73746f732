"""What makes two images one, and what makes them two."""

from __future__ import annotations

from banger.images import Recipe
from banger.images.build import _digest

ROOT = "ab" * 32


def recipe(**changes: object) -> Recipe:
    return Recipe(**({"name": "a", "suite": "bookworm"} | changes))  # type: ignore[arg-type]


def test_a_name_does_not_count() -> None:
    assert _digest(recipe(), ROOT) == _digest(recipe(name="b"), ROOT)


def test_root_init_and_env_each_count() -> None:
    """D5: what a VM is told of its image is part of the image."""
    digests = {
        _digest(recipe(), ROOT),
        _digest(recipe(), "cd" * 32),
        _digest(recipe(init="/sbin/init"), ROOT),
        _digest(recipe(env={"A": "1"}), ROOT),
    }
    assert len(digests) == 4
