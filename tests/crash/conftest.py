"""A daemon that is killed between any two of its steps, and what the next one makes of it."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.drivers import DRIVERS
from tests.support.environs import make_environ, make_short_dir
from tests.support.sampling import ALL
from tests.support.vms import (
    LONG_S,
    TIMEOUT_S,
    artifacts,
    open_own,
    own,
    own_of_module,
    report_with_logs,
)

pytest.register_assert_rewrite("tests.support.soundness", "tests.crash.verbs")

from tests.support.stand_in_worlds import StandInWorld  # noqa: E402 - now that it is rewritten
from tests.support.worlds import SHAPE, World, open_world  # noqa: E402 - likewise

WORLDS = {kind.driver: kind for kind in (World, StandInWorld)}

__all__ = ["artifacts", "own", "own_of_module"]


@pytest.fixture(scope="module", params=DRIVERS)
def world(request: pytest.FixtureRequest, artifacts: None, run_dir: Path) -> Iterator[World]:
    """A daemon that dies where it is told to, and a witness, for the tests of one module.

    Of each driver in turn. Firecracker's is the stand-in.
    """
    kind = WORLDS[request.param]
    environ = make_environ(make_short_dir(run_dir))
    with (
        open_own(environ, driver=kind.driver) as banger,
        open_world(kind(banger), SHAPE, kind.networked) as world,
    ):
        yield world
        assert json.loads(world.banger.run("doctor", "--json").out)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder, which boot VMs, their time."""
    for item in items:
        if "/tests/crash/" in str(item.path) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG_S if ALL else TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return (yield from report_with_logs())
