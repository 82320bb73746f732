"""A run of tests that a signal or a dead worker ends, ends, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.artifacts import CHECKOUT
from tests.support.installations import wait_for
from tests.support.leaks import find_processes

CONFTEST = """
from tests.support import run_directory

def pytest_configure(config):
    config.pluginmanager.register(run_directory)
    run_directory.enter_run(config)
"""
PROBE = """
import os, subprocess
import pytest
from tests.support.run_directory import RUN

def start(run):
    (run / "log").touch()
    return subprocess.Popen(["tail", "-f", str(run / "log")], start_new_session=True)

@pytest.fixture
def begins_anew_at_its_end(pytestconfig):
    yield
    start(pytestconfig.stash[RUN])

def test_that_waits(pytestconfig, begins_anew_at_its_end):
    run = pytestconfig.stash[RUN]
    process = start(run)
    (run / "told").write_text(str(run))
    (run / "told").rename(os.environ["TOLD"])
    try:
        process.wait()
    except KeyboardInterrupt:
        raise AssertionError

def test_that_would_wait_as_well(pytestconfig):
    start(pytestconfig.stash[RUN]).wait()
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_signal_ends_what_a_run_has_started(tmp_path: Path, workers: int) -> None:
    """SIGTERM reaches only the process that was started, as from a service manager."""
    (tmp_path / "test_probe.py").write_text(PROBE)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    told = tmp_path / "told"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers)]
    with subprocess.Popen(
        [*argv, str(tmp_path)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "TOLD": str(told)},
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_for(told.exists, "the test that waits")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == pytest.ExitCode.INTERRUPTED
    run = Path(told.read_text())
    wait_for(lambda: not find_processes(run), "the end of what the run has started")
    assert not run.exists()


def test_a_worker_that_dies_ends_the_run(tmp_path: Path) -> None:
    """The run fails; it does not wait for the tests that the worker was to run."""
    (tmp_path / "test_dies.py").write_text("import os\n\ndef test_dies():\n    os.abort()\n")
    for name in "abcdef":
        (tmp_path / f"test_{name}.py").write_text("def test_passes():\n    pass\n")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2"]
    argv += ["--dist", "loadfile", "-c", str(CHECKOUT / "pyproject.toml"), str(tmp_path)]
    done = subprocess.run(
        argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "crashed while running" in done.stdout
