"""`python -m tests.long [NAME...]`: everything of which a change only tries samples, and one table.

Takes hours, alone on a machine; variables that are set already win, so that
`BANGER_TEST_CYCLES=2 make test-long RUNS=cycles` only tries whether a run starts. Each run is a
process of its own whose output goes to the terminal, and SIGTERM ends it as well;
the table at the end has its outcome, its time and what its tests said of what they tried. Status 0
only if every run passed. Writes only below a temporary directory, which is removed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tests.support.artifacts import CHECKOUT

REPORT = "report.xml"


@dataclass(frozen=True)
class Run:
    """One command, and what it tries in full."""

    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    is_pytest: bool = True
    dist: str = "load"
    """What workers take: tests, or files whose tests go on with what the ones before have left."""


RUNS = {
    "matrix": Run(("tests/crash/test_matrix.py",), {"BANGER_TEST_CRASH": "all"}),
    "deaths": Run(
        (
            "tests/crash",
            "tests/component/workspace/test_apply_deaths.py",
            "tests/component/workspace/test_sync_deaths.py",
            "tests/vm/test_modules.py",
            "tests/vm/test_run_results.py",
            "--ignore=tests/crash/test_matrix.py",
            "--ignore=tests/crash/test_model.py",
        ),
        {"BANGER_TEST_CRASH": "all", "BANGER_TEST_FAULTS": "all"},
    ),
    "model": Run(("tests/crash/test_model.py", "-k", "random"), {"BANGER_TEST_MODEL": "10x50"}),
    "cycles": Run(("tests/crash/test_model.py", "-k", "cycles"), {"BANGER_TEST_CYCLES": "500"}),
    "snapshots": Run(("tests/vm/test_snapshots.py", "-k", "cycle"), {"BANGER_TEST_CYCLES": "50"}),
    "sizes": Run(
        (
            "tests/vm/test_workspace.py",
            "tests/vm/test_exec_streams.py",
            "tests/vm/test_templates.py",
            "tests/component/workspace/test_import.py",
            "tests/component/copies",
            "tests/component/forwards/test_much.py",
            "tests/component/ssh/test_ssh_bounds.py",
        ),
        {"BANGER_TEST_SIZES": "full"},
    ),
    "fuzz": Run(
        ("tests/fuzz",), {"BANGER_TEST_FUZZ_ROUNDS": "100000", "BANGER_TEST_FUZZ_SECONDS": "60"}
    ),
    "exports": Run(
        ("tests/component/workspace/test_comes_back.py",), {"BANGER_TEST_EXPORTS": "2000"}
    ),
    "corpus": Run(("tests/component/workspace/test_corpus.py",), {"BANGER_TEST_CORPUS": "all"}),
    "properties": Run(
        ("tests/unit", "tests/component", "-m", "hypothesis"), {"BANGER_TEST_SIZES": "full"}
    ),
    "places": Run(("tests/component/cli/test_surroundings.py",), {"BANGER_TEST_CRASH": "all"}),
    "builds": Run(
        ("tests/component/images/test_build.py", "tests/component/kernels/test_pull.py"),
        {"BANGER_TEST_CRASH": "all"},
    ),
    "kernel": Run(("tests/vm/test_small_kernel.py",), {"BANGER_TEST_KERNEL": "1"}),
    "upgrade": Run(
        ("tests/vm/test_released.py", "tests/vm/test_released_firecracker.py"),
        {"BANGER_TEST_RELEASE": "1"},
        dist="loadfile",
    ),
    "kvm": Run(("tests.kvm",), is_pytest=False),
}


@dataclass(frozen=True)
class Outcome:
    """A row of the table."""

    name: str
    passed: bool
    seconds: float
    said: list[str]

    def render(self) -> str:
        """Return the row in Markdown."""
        outcome = "; ".join(["passed" if self.passed else "FAILED", *self.said])
        return f"| {self.name} | {outcome.replace('|', '/')} | {self.seconds / 60:.0f} min |"


def main(names: list[str]) -> int:
    """Run the named runs, or all."""
    if unknown := set(names) - set(RUNS):
        print(f"no such run: {', '.join(sorted(unknown))}; there are {', '.join(RUNS)}")
        return 2
    outcomes = [_run(name, RUNS[name]) for name in names or RUNS]
    print("\n| run | outcome | time |\n|---|---|---|")
    print("\n".join(outcome.render() for outcome in outcomes))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _run(name: str, run: Run) -> Outcome:
    print(f"== {name}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, REPORT)
        argv = [sys.executable, "-m", *run.argv]
        if run.is_pytest:
            options = (f"--junitxml={report}", "-o", "junit_logging=system-out")
            side_by_side = ("-n", str(os.cpu_count()), "--dist", run.dist)
            argv = [sys.executable, "-m", "pytest", *side_by_side, *options, *run.argv]
        with subprocess.Popen(argv, cwd=CHECKOUT, env={**run.environ, **os.environ}) as process:
            signal.signal(signal.SIGTERM, lambda *_: _end(process))
            status = process.wait()
        said = list(_read_report(report)) if report.exists() else []
    return Outcome(name, status == 0, time.monotonic() - began, said)


def _end(process: subprocess.Popen[bytes]) -> NoReturn:
    """Have a run end what it has started, and end when it has."""
    process.terminate()
    sys.exit(128 + signal.SIGTERM)


def _read_report(report: Path) -> Iterator[str]:
    """Yield the number of tests, and each line that one of them printed."""
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    yield f"{suite.get('tests')} tests"
    for printed in suite.iter("system-out"):
        lines = map(str.strip, (printed.text or "").splitlines())
        yield from (line for line in lines if line and not line.startswith("---"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
