"""The examples of docs/sdk.md and the README are run as they are printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from banger.api.table import METHODS
from tests.component.daemon.running import CHECKOUT, read_events, with_sources
from tests.component.daemon.test_bindings import GREET
from tests.support.forked import Forked

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


USES_GREET = """
from added_calls import AsyncCall, Call

async def greet(call: Call, async_call: AsyncCall) -> list[str]:
    return call("test.greet", {"ref": "box"}) + await async_call("test.greet", {"ref": "box"})

def miscount(call: Call) -> int:
    return call("test.greet", {"ref": "box"})
"""


def test_the_examples_satisfy_a_strict_type_checker(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users' code: with the types of the package, and without this checkout's settings.

    So does what uses a method that was added by its declaration alone.
    """
    monkeypatch.setitem(METHODS, GREET.name, GREET)
    monkeypatch.syspath_prepend(CHECKOUT / "scripts")
    (short_dir / "added_calls.py").write_text(import_module("typed_calls").render_calls())
    (short_dir / "added.py").write_text(USES_GREET)
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
    complaints = re.findall(r"(\w+\.py:\d+): error: (.*)", done.stdout)
    assert len(complaints) == 2, done.stdout
    assert 'has no key "nmae"' in dict(complaints)["example12.py:6"]
    assert '(got "list[str]", expected "int")' in dict(complaints)["added.py:8"]
