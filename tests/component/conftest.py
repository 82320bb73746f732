"""What tests of the command line and a daemon share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.installations import Installation


@pytest.fixture
def banger(private_environ: dict[str, str]) -> Iterator[Installation]:
    """An installation of this test's own."""
    with contextlib.closing(Installation(private_environ)) as installation:
        yield installation
