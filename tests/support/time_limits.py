"""A test's time limit (pytest-timeout) that ends every wait of it, one after the other.

By itself its signal comes once, and once a test has failed not at all (so that a debugger has its
time): what cleans up afterwards, as a `finally` or a fixture, could wait for good. Here the signal
comes again and again, also while fixtures of a test that has failed are closed.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator, Iterator
from typing import Any

import pytest

AGAIN_S = 120.0
"""Between two signals: what cleans up has work to do."""
SETTINGS = pytest.StashKey[Any]()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Generator[None, Any, Any]:
    """Have the signal come again after the limit."""
    done = yield
    item.stash[SETTINGS] = settings
    left_s, _ = signal.getitimer(signal.ITIMER_REAL)
    if left_s:
        signal.setitimer(signal.ITIMER_REAL, left_s, AGAIN_S)
    return done


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Give the closing of a failed test's fixtures a limit as well: the test's, anew."""
    settings = item.stash.get(SETTINGS, None)
    is_without = settings is not None and settings.method == "signal" and not _is_limited()
    if is_without:
        item.ihook.pytest_timeout_set_timer(item=item, settings=settings)
    try:
        return (yield)
    finally:
        if is_without:
            item.ihook.pytest_timeout_cancel_timer(item=item)


@contextlib.contextmanager
def limited(limit_s: float) -> Iterator[None]:
    """For a block of a test, or of its fixtures, have this limit; its own time stands still."""
    if not _is_limited():
        yield
        return
    left = signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)


def _is_limited() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0
