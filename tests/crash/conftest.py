"""A daemon that is killed between any two of its steps, and what the next one makes of it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support.vms import TIMEOUT_S, artifacts, own, own_of_module, report_with_logs

pytest.register_assert_rewrite("tests.support.soundness")

__all__ = ["artifacts", "own", "own_of_module"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder, which boot VMs, their time."""
    for item in items:
        if "/tests/crash/" in str(item.path) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return (yield from report_with_logs())
