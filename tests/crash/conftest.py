"""A daemon that is killed between any two of its steps, and what the next one makes of it."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator

import pytest

from tests.support.installations import Installation
from tests.support.vms import TIMEOUT_S, artifacts, own, own_of_module, report_with_logs

pytest.register_assert_rewrite("tests.support.soundness", "tests.crash.verbs")

from tests.support.worlds import NETWORKED, SHAPE, World, open_world  # noqa: E402 - now that it is rewritten

__all__ = ["artifacts", "own", "own_of_module"]


@pytest.fixture(scope="module")
def world(own_of_module: Installation) -> Iterator[World]:
    """A daemon that dies where it is told to, and a witness, for the tests of one module."""
    with open_world(own_of_module, SHAPE, NETWORKED) as world:
        yield world
        assert json.loads(world.banger.run("doctor", "--json").out)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder, which boot VMs, their time."""
    for item in items:
        if "/tests/crash/" in str(item.path) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return (yield from report_with_logs())
