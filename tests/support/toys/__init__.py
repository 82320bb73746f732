"""A driver and a network that the product does not know, made only by a row in each table."""

from __future__ import annotations

from banger import words


def add_toys() -> None:
    """Add both to the tables of this process."""
    words.DRIVERS["toy"] = "tests.support.toys.driver"
    words.NETWORKS["toy"] = "tests.support.toys.network"
