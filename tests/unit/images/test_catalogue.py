"""What can be built by name alone, and what a slip was meant for."""

from __future__ import annotations

import pytest

from banger.images import BASE, CATALOGUE, find_near_name, find_recipe
from banger.images.recipe import read_own_recipe, require_recipe


def test_all_of_the_catalogue_can_be_built() -> None:
    """H10: each entry has a recipe of its own suite under its own name; the default is first."""
    assert next(iter(CATALOGUE)) == BASE
    for name, image in CATALOGUE.items():
        recipe = find_recipe(name)
        assert recipe is not None
        require_recipe(recipe)
        assert (image.name, recipe.name, recipe.suite) == (name, name, image.suite)
        assert name == f"debian-{image.suite}"
        needed = {"systemd", "git", "make", "gcc", "python3", "openssh-server"}
        assert needed <= set(recipe.packages)
    assert find_recipe(BASE) == read_own_recipe(BASE)
    assert find_recipe("debian-sid") is None
    assert find_recipe("../recipes/debian-bookworm") is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("debian-trixi", "debian-trixie"),
        ("trixie", "debian-trixie"),
        ("bulseye", "debian-bullseye"),
        ("Debian-Bookworm", "debian-bookworm"),
        ("my-imag", "my-image"),
        ("alpine", None),
        ("x", None),
    ],
)
def test_near_names(typed: str, meant: str | None) -> None:
    """H6."""
    assert find_near_name(typed, ["my-image", "other"]) == meant
