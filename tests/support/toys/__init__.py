"""Two drivers and a network that the product does not know, made only by rows in the tables."""

from __future__ import annotations

from banger import words


def add_toys() -> None:
    """Add them to the tables of this process."""
    words.DRIVERS["toy"] = "tests.support.toys.driver"
    words.DRIVERS["plain"] = "tests.support.toys.plain"
    words.NETWORKS["toy"] = "tests.support.toys.network"
