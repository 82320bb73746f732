"""The ground that every test stands on.

One private directory for each process that runs tests (short: a Unix socket's path has 107 bytes)
holds HOME, the XDG directories and TMPDIR, so that no test can touch the
user's own; images and kernels come from a cache that outlives the run. At the
end the leak audit fails the run if anything of ours is left, and in CI a
skip that `tests/allowed-skips.txt` does not list is a failure.

`pytest -n 2` runs whole files side by side: those of whole VMs and others in turn, the unit tests
at the end. Each worker has an installation, shared VMs and a leak audit of its own; the controller
tells what they found.

BANGER_TEST_CACHE moves the cache.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from banger.layout import layout_from_environment
from tests.support import run_directory, time_limits
from tests.support.artifacts import CHECKOUT, enter_cache, make_data_home
from tests.support.environs import make_environ, make_short_dir
from tests.support.forked import end_forkservers
from tests.support.leaks import end_processes, find_leaks, find_processes
from tests.support.run_directory import RUN, enter_run
from tests.support.sampling import choose_size
from tests.support.templates import enter_templates

EXAMPLES = 30
"""Random values for each property in a run of every day, unless the test says how many."""
LEAKS = pytest.StashKey[list[str]]()
ALLOWED_SKIPS = CHECKOUT / "tests/allowed-skips.txt"


def pytest_configure(config: pytest.Config) -> None:
    if os.geteuid() == 0:
        pytest.exit("the tests run as an ordinary user: make test", returncode=2)
    # A shell gives SIGINT to what it starts in the background as ignored, for good: no client that
    # we start would be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(time_limits)
    config.pluginmanager.register(run_directory)
    cache = enter_cache()
    run = enter_run(config)
    config.stash[LEAKS] = []
    _enter(run, cache)
    enter_templates()
    # Time limits belong to `make bench`: this machine may be busy with anything.
    examples = choose_size(EXAMPLES, 100)
    hypothesis.settings.register_profile("banger", deadline=None, max_examples=examples)
    hypothesis.settings.load_profile("banger")


def _enter(run: Path, cache: Path) -> None:
    """Point the whole process, and so everything that it starts, at private directories."""
    # The users that an image build maps to must be able to pass through to TMPDIR.
    run.chmod(0o711)
    names = {"HOME": "home", "TMPDIR": "tmp", "XDG_RUNTIME_DIR": "r", "XDG_STATE_HOME": "s"}
    names |= {"XDG_CONFIG_HOME": "c", "XDG_CACHE_HOME": "cache"}
    for variable, name in names.items():
        (run / name).mkdir(mode=0o700)
        os.environ[variable] = str(run / name)
    (run / "tmp").chmod(0o711)
    os.environ["XDG_DATA_HOME"] = str(make_data_home(cache))
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(cache / "hypothesis")
    for variable in [name for name in os.environ if name.startswith(("BANGER_", "GIT_"))]:
        if not variable.startswith(("BANGER_TEST_", "GIT_SSL_")):
            del os.environ[variable]
    # Clones that nobody asked for would be in the way of every test that counts, and of its guests
    # on a small machine; tests of the pool switch it on.
    os.environ["BANGER_TEMPLATE_POOL"] = "0"
    # Fixed ports for all runs would be taken; tests of names choose some.
    for server in ("HTTP", "SOCKS", "DNS"):
        os.environ[f"BANGER_NAMES_{server}_PORT"] = "0"
    tempfile.tempdir = None


WITH_VMS, WITHOUT, LAST = ("crash", "vm"), ("component", "fuzz"), ("unit",)
"""Folders, the slowest of each kind first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files so that workers end at about the same time and seldom wait for each other.

    Files of whole VMs and others come in turn: while one worker makes the images and templates that
    all share, or waits for a guest, another has something else to do. Small files come last.
    """
    files: dict[str, dict[Path, list[pytest.Item]]] = {}
    for item in items:
        folder = item.path.relative_to(CHECKOUT / "tests").parts[0]
        files.setdefault(folder, {}).setdefault(item.path, []).append(item)
    with_vms, without, last = (
        [file for folder in kind for file in files.get(folder, {}).values()]
        for kind in (WITH_VMS, WITHOUT, LAST)
    )
    in_turn = [file for pair in zip_longest(with_vms, without, fillvalue=[]) for file in pair]
    items[:] = [item for file in (*in_turn, *last) for item in file]


# --- fixtures ----------------------------------------------------------------


@pytest.fixture(scope="session")
def run_dir(pytestconfig: pytest.Config) -> Path:
    """The run's private directory, short enough for sockets."""
    return pytestconfig.stash[RUN]


@pytest.fixture
def short_dir(run_dir: Path) -> Path:
    """A fresh directory for this test, short enough for sockets."""
    return make_short_dir(run_dir)


@pytest.fixture
def private_environ(short_dir: Path) -> dict[str, str]:
    """An environment with HOME and XDG directories for this test alone."""
    return make_environ(short_dir)


# --- the skip rule -----------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _must_run(item.nodeid):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI and is not listed: {reason}"
    return report


def _must_run(nodeid: str) -> bool:
    if not os.environ.get("CI"):
        return False
    lines = ALLOWED_SKIPS.read_text("utf-8").splitlines()
    allowed = [line.partition("#")[0].strip() for line in lines]
    return not any(nodeid.startswith(prefix) for prefix in allowed if prefix)


# --- the leak audit ------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After the last fixture was torn down: nothing of ours may be left."""
    if session.config.pluginmanager.has_plugin("dsession"):
        # The controller has run no test, and its workers have told what they found.
        _fail_for_leaks(session)
        return
    end_forkservers()
    run = session.config.stash[RUN]
    layout = layout_from_environment(os.environ)
    ours = [layout.runtime, layout.state, layout.data, layout.config, layout.cache]
    leaks = find_leaks(run, ours)
    strays = [*(run / "home").iterdir(), *(run / "tmp").iterdir()]
    leaks += [f"file: {path}" for path in strays if not path.name.startswith("pytest-of-")]
    session.config.stash[LEAKS] += leaks
    if output := getattr(session.config, "workeroutput", None):
        output["leaks"] = leaks
    end_processes(find_processes(run))
    _fail_for_leaks(session)


def _fail_for_leaks(session: pytest.Session) -> None:
    if session.config.stash[LEAKS] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker found. One that died has told nothing, and its test has failed."""
    node.config.stash[LEAKS] += getattr(node, "workeroutput", {}).get("leaks", [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    leaks = config.stash[LEAKS]
    if leaks:
        terminalreporter.section("leak audit: FAILED")
        for line in leaks:
            terminalreporter.line(line)
    else:
        terminalreporter.line("leak audit: nothing is left")


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN in config.stash:
        shutil.rmtree(os.environ["XDG_DATA_HOME"], ignore_errors=True)
