"""The private directory of a run, and what a run leaves that is interrupted: nothing.

SIGTERM and SIGHUP end a run as Ctrl-C does. A run that is interrupted kills what it has started
before it closes fixtures, since pytest-xdist gives a worker 10 s from then on. The directories of
workers are in their controller's, which so kills what they have left.

BANGER_TEST_KEEP=1 keeps the directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import pytest

from tests.support.leaks import end_processes, find_processes

RUN = pytest.StashKey[Path]()
DIRECTORY = "BANGER_TEST_RUN"
"""Names the controller's directory to its workers."""


def enter_run(config: pytest.Config) -> Path:
    """Make the private directory of this process."""
    if worker := getattr(config, "workerinput", None):
        run = Path(os.environ[DIRECTORY], f"{int(worker['workerid'].removeprefix('gw')):02}")
        run.mkdir(mode=0o700)
    else:
        run = Path(tempfile.mkdtemp(prefix="bt.", dir="/tmp"))
        os.environ[DIRECTORY] = str(run)
    config.stash[RUN] = run
    return run


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have signals end the run, even if a test fails by another error while it ends."""

    def interrupt(number: int, _: FrameType | None) -> None:
        # Once, since timeout(1) sends it twice; not ignored, which programs would inherit.
        signal.signal(number, lambda *_: None)
        session.shouldstop = f"signal {number}"
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(
    session: pytest.Session, exitstatus: int | pytest.ExitCode
) -> Generator[None, None, None]:
    """Kill what a run that was interrupted has started, and what the closing of fixtures starts."""
    if exitstatus != pytest.ExitCode.INTERRUPTED and not session.shouldstop:
        return (yield)
    run = session.config.stash[RUN]
    if not session.config.pluginmanager.has_plugin("dsession"):  # its workers end by themselves
        end_processes(find_processes(run))
    try:
        return (yield)
    finally:
        end_processes(find_processes(run))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the directory."""
    run = config.stash[RUN]
    if os.environ.get("BANGER_TEST_KEEP"):
        print(f"kept: {run}")
        return
    # Tests close directories to their user.
    subprocess.run(["chmod", "-R", "u+rwX", run], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(run, ignore_errors=True)
