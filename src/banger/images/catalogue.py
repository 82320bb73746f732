"""The images that are built on first use of their name. Pure.

All are built from signed packages of Debian. References of registries are no part of it: what one
means is the registry's word, and `image pull` takes any.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from banger.images.recipe import Recipe, read_own_recipe
from banger.nearnames import find_near

BASE = "debian-bookworm"
"""The recipe that comes with banger, and that all of the catalogue are built by."""


class CatalogueImage(Struct, frozen=True):
    """An image that can be built by its name."""

    name: str
    suite: str
    summary: str


_TOOLS = "systemd, sshd, git, gcc, make, python3"
CATALOGUE = {
    image.name: image
    for image in (
        CatalogueImage("debian-bookworm", "bookworm", f"Debian 12: {_TOOLS}"),
        CatalogueImage("debian-trixie", "trixie", f"Debian 13: {_TOOLS}"),
        CatalogueImage("debian-bullseye", "bullseye", f"Debian 11: {_TOOLS}"),
    )
}
"""By name; the default first. Each has been built and booted."""

RELEASES = {
    "debian": "bookworm",
    "stable": "trixie",
    "oldstable": "bookworm",
    "11": "bullseye",
    "12": "bookworm",
    "13": "trixie",
}
"""Other words for the suites of the catalogue."""


def find_recipe(name: str) -> Recipe | None:
    """Return the recipe of an image of the catalogue, or None."""
    known = CATALOGUE.get(name)
    if known is None:
        return None
    return msgspec.structs.replace(read_own_recipe(BASE), name=known.name, suite=known.suite)


def find_recipe_hash(recipe: Recipe) -> str:
    """Return a hash over all that one of our recipes says; empty for every other recipe."""
    if recipe != find_recipe(recipe.name):
        return ""
    return hashlib.sha256(msgspec.json.encode(recipe, order="sorted")).hexdigest()


def find_near_name(name: str, local: Iterable[str]) -> str | None:
    """Return the image, of the catalogue or a local one, that a slip was probably meant for.

    Debian's releases are known by their numbers, too: `debian-12`, `debian12`, `12`.
    """
    release = re.fullmatch(r"(?:debian)?[-:/_]?([0-9]{1,2}|[a-z]+)(?:-slim)?", name.lower())
    if release is None:
        return find_near(name, [*CATALOGUE, *local])
    by_suite = {image.suite: image.name for image in CATALOGUE.values()}
    suite = RELEASES.get(release[1]) or find_near(release[1], by_suite)
    return by_suite[suite] if suite in by_suite else find_near(name, [*CATALOGUE, *local])
