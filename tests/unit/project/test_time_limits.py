"""The tests' own time limit ends what waits, also what cleans up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.artifacts import CHECKOUT

PROBE = """
import signal
import time

import pytest

from tests.support import time_limits

time_limits.AGAIN_S = 2


@pytest.fixture
def lingers():
    yield
    time.sleep(600)


def test_that_hangs_and_hangs_again():
    try:
        time.sleep(600)
    finally:
        time.sleep(600)


def test_that_fails(lingers):
    raise AssertionError


def test_that_waits_for_others():
    with time_limits.limited(600):
        time.sleep(2.2)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 500
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 2


def test_that_is_quick():
    pass
"""


def test_every_wait_of_a_test_ends(tmp_path: Path) -> None:
    """Of its body, of what it does at its end, and of its fixtures after it has failed."""
    (tmp_path / "test_probe.py").write_text(PROBE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = ("-p", "tests.support.time_limits", "-p", "no:cacheprovider", "--timeout", "2")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", *options, str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    summary = [line.split(" - ")[0] for line in done.stdout.splitlines() if "::test" in line]
    ends = [(line.split()[0], line.rpartition("::")[2]) for line in summary]
    assert sorted(ends) == [
        ("ERROR", "test_that_fails"),
        ("FAILED", "test_that_fails"),
        ("FAILED", "test_that_hangs_and_hangs_again"),
        ("PASSED", "test_that_is_quick"),
        ("PASSED", "test_that_waits_for_others"),
    ], done.stdout + done.stderr
