"""Whole VMs: real QEMU, real kernel, real guests, through the real command line.

Two VMs are shared by all tests that leave them as they are: `system` (the default image, with
systemd) and `tiny` (no init). A test that stops, kills or restarts makes its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator

import pytest

from tests.support.installations import Installation, wait_for
from tests.support.outward import outward_address
from tests.support.sampling import FULL_SIZES
from tests.support.vms import (
    LONG_S,
    TIMEOUT_S,
    TINY,
    artifacts,
    building,
    has_right_clock,
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
def shared_system(banger: Installation) -> str:
    """The VM of `system`, paused."""
    with building(banger):
        # The first worker builds the image and the template.
        banger.do("vm", "create", "--name", "system", "--allow", outward_address())
    banger.do("vm", "pause", "system")
    return "system"


@pytest.fixture(scope="session")
def shared_tiny(banger: Installation) -> str:
    """The VM of `tiny`, paused."""
    with building(banger):
        banger.do("vm", "create", "--name", "tiny", *TINY)
    banger.do("vm", "pause", "tiny")
    return "tiny"


@pytest.fixture(scope="module")
def system(banger: Installation, shared_system: str) -> Iterator[str]:
    """A running VM of the default image, which may reach this host's own address."""
    with running(banger, shared_system):
        yield shared_system


@pytest.fixture(scope="module")
def tiny(banger: Installation, shared_tiny: str) -> Iterator[str]:
    """A running VM of the image without an init."""
    with running(banger, shared_tiny):
        yield shared_tiny


@contextlib.contextmanager
def running(banger: Installation, vm: str) -> Iterator[None]:
    """Have a shared VM run for a block: the guests of all workers would idle for 40 s of CPU.

    Its clock is right: a guest that answers too slowly when it goes on is set a little later.
    """
    banger.do("vm", "resume", vm)
    wait_for(lambda: has_right_clock(banger, vm), f"the clock of {vm} to be right")
    yield
    banger.do("vm", "pause", vm)
