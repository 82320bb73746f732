"""An apply whose process dies: each file is as it was or as the guest has it, and it goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.component.workspace.conftest import Trip
from tests.component.workspace.dying_apply import DIED, save
from tests.component.workspace.test_apply import apply, change_everything
from tests.component.workspace.trees import Tree, walk
from tests.support import repositories as repo
from tests.support.artifacts import CHECKOUT
from tests.support.sampling import choose

CHANGES = 18
"""Four files are removed; seven are renamed, and the other name of each is removed if need be."""


@pytest.mark.parametrize("last", choose(range(1, CHANGES + 1), 4))
def test_a_death_costs_no_file(trip: Trip, last: int) -> None:
    """A9, A11: whole or not there, and a second apply does the rest."""
    set_out(trip)
    before, wanted = walk(trip.top).files, walk(trip.work).files
    died = run(trip.top.parent, last)
    assert died.returncode == DIED, died.stderr
    require_whole(left(trip.top), before, wanted)
    # The scratch directory of a dead daemon is emptied at its next start.
    shutil.rmtree(trip.scratch)
    assert apply(trip).done
    assert left(trip.top) == wanted


def test_the_deaths_are_all_changes(trip: Trip) -> None:
    """So that each number above leads to a death."""
    set_out(trip)
    done = run(trip.top.parent, 0)
    assert int(done.stdout) == CHANGES
    assert left(trip.top) == walk(trip.work).files


def set_out(trip: Trip) -> None:
    for name in ("gone", "dir/a", "dir/b", "exec"):
        repo.write(trip.top, name, b"as it was\n")
    (trip.top / "link").symlink_to("README")
    repo.commit(trip.top)
    trip.prepare()
    change_everything(trip.work)
    save(trip)


def run(directory: Path, last: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tests.component.workspace.dying_apply", directory, str(last)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}"},
        capture_output=True,
        check=False,
        timeout=120,
    )


def left(top: Path) -> Tree:
    """Return the files of the host, without the unfinished one that has no real name."""
    files = walk(top).files
    return {n: e for n, e in files.items() if not n.rpartition(b"/")[2].startswith(b".banger-cp.")}


def require_whole(there: Tree, before: Tree, wanted: Tree) -> None:
    for name in there.keys() | before.keys() | wanted.keys():
        assert there.get(name) in (before.get(name), wanted.get(name))
