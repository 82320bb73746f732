"""Which part of a long suite a run tries.

Some suites take hours in full. A run tries a sample of each, chosen by one number, so that equal
numbers give equal samples and successive numbers cover everything. `scripts/enter` counts the
commits; BANGER_TEST_SAMPLE=N repeats the sample of an earlier run, which a failure names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

NUMBER = int(os.environ.get("BANGER_TEST_SAMPLE", "0"))
"""Of this run's sample: 0 or more."""
ALL = os.environ.get("BANGER_TEST_CRASH") == "all"
"""Sample no deaths: die at every point."""
FULL_SIZES = os.environ.get("BANGER_TEST_SIZES") == "full"
"""Take each size in full that a run of every day takes a part of."""
FUZZ_SECONDS = int(os.environ.get("BANGER_TEST_FUZZ_SECONDS", "0"))
"""How long to fuzz each parser; 0: some of them, for a few seconds."""
T = TypeVar("T")


def choose(things: Sequence[T], size: int, number: int = NUMBER) -> list[T]:
    """Return about `size` of these, evenly spread, or all; successive numbers cover everything."""
    every = 1 if ALL else max(1, -(-len(things) // size))
    return list(things[number % every :: every])


def choose_parsers(targets: Sequence[T], size: int) -> list[T]:
    """Return about `size` of the parsers to fuzz, or all."""
    return list(targets) if FUZZ_SECONDS else choose(targets, size)


def choose_size(part: int, full: int) -> int:
    """Return how much a test works on: a part, whose kinds are those of the full size."""
    return full if FULL_SIZES else part
