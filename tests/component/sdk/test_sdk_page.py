"""The examples of docs/sdk.md and the README are run as they are printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.component.daemon.running import CHECKOUT, read_events, with_sources
from tests.support.forkserver import Forked

PAGES = [(CHECKOUT / name).read_text("utf-8") for name in ("README.md", "docs/sdk.md")]
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", "\n".join(PAGES), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(daemon: Forked, private_environ: dict[str, str], number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES[number]],
        env=with_sources(private_environ),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    events = [event.split()[0] for event in read_events(private_environ)]
    # Forks are created by their own event.
    assert events.count("deleted") == events.count("created") + 2 * events.count("forked")


def test_the_examples_satisfy_a_strict_type_checker(short_dir: Path) -> None:
    """Users' code: with the types of the package, and without this checkout's settings."""
    assert len(EXAMPLES) == 12
    wrong = f"{EXAMPLES[-1]}client.call('vm.show', {{'ref': 'box'}})['nmae']\n"
    for number, example in enumerate([*EXAMPLES, wrong]):
        (short_dir / f"example{number}.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(short_dir)],
        cwd=CHECKOUT,
        env={**os.environ, "MYPYPATH": "src"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    complaints = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(complaints) == 1 and "example12.py" in complaints[0] and "nmae" in complaints[0], (
        done.stdout
    )
