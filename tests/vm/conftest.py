"""Whole VMs: real QEMU, real kernel, real guests, through the real command line.

Two VMs are shared by all tests that leave them as they are: `system` (the default image, with
systemd) and `tiny` (no init). A test that stops, kills or restarts makes its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator

import pytest

from tests.support.installations import Installation
from tests.support.outward import outward_address
from tests.support.sampling import FULL_SIZES
from tests.support.vms import (
    LONG_S,
    TIMEOUT_S,
    TINY,
    artifacts,
    building,
    own,
    own_of_module,
    report_with_logs,
)

__all__ = ["artifacts", "own", "own_of_module"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder, which boot VMs, their time."""
    for item in items:
        if "/tests/vm/" in str(item.path) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG_S if FULL_SIZES else TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return (yield from report_with_logs())


@pytest.fixture(scope="session")
def banger(artifacts: None) -> Iterator[Installation]:
    """The installation that holds the shared VMs."""
    with contextlib.closing(Installation(os.environ)) as installation:
        yield installation


@pytest.fixture(scope="session")
def system(banger: Installation) -> str:
    """A running VM of the default image, which may reach this host's own address."""
    with building(banger):
        # The first worker builds the image and the template.
        banger.do("vm", "create", "--name", "system", "--allow", outward_address())
    return "system"


@pytest.fixture(scope="session")
def tiny(banger: Installation) -> str:
    """A running VM of the image without an init."""
    with building(banger):
        banger.do("vm", "create", "--name", "tiny", *TINY)
    return "tiny"
