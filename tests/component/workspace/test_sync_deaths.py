"""A sync whose process dies: each file is as it was or as the other side has it, and it goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.component.workspace.conftest import Trip
from tests.component.workspace.dying_apply import DIED, save
from tests.component.workspace.test_apply_deaths import left, require_whole
from tests.component.workspace.test_sync import change_one, change_other, sync
from tests.component.workspace.trees import Tree, walk
from tests.support import repositories as repo
from tests.support.artifacts import CHECKOUT
from tests.support.sampling import choose

CHANGES = 16
"""Of the guest: files and directories are deleted, files come, the mark. Of the host: three files
are removed; four are renamed, and the other name of each is removed if need be. The base."""


@pytest.mark.parametrize("last", choose(range(1, CHANGES + 1), 4))
def test_a_death_costs_no_file(trip: Trip, last: int) -> None:
    """A9, A11: whole or not there, and a second sync does the rest and finds no conflict."""
    before, wanted = set_out(trip)
    died = run(trip.top.parent, last)
    assert died.returncode == DIED, died.stderr
    for top, was in zip((trip.top, trip.work), before, strict=True):
        require_whole(left(top), was, wanted)
    # The scratch directory of a dead daemon is emptied at its next start.
    shutil.rmtree(trip.scratch)
    trip.scratch.mkdir()
    assert not sync(trip).conflicts
    assert left(trip.top) == left(trip.work) == wanted


def test_a_death_before_the_base_leaves_the_old_one(trip: Trip) -> None:
    """A11: the guest is marked as synced by then; what is deleted afterwards does not come back."""
    for name in ("gone", "more"):
        repo.write(trip.top, name, b"as it was\n")
    repo.commit(trip.top)
    trip.prepare()
    repo.write(trip.work, "gone", b"of the guest\n")
    assert sync(trip).base
    save(trip)
    (trip.top / "gone").unlink()
    died = run(trip.top.parent, 3)  # The deletion, the mark, the base.
    assert died.returncode == DIED, died.stderr
    assert not (trip.work / "gone").exists()
    shutil.rmtree(trip.scratch)
    trip.scratch.mkdir()
    (trip.top / "more").unlink()
    done = sync(trip)
    assert done.guest.remove == {b"more"} and not done.conflicts and not done.notices
    assert not (trip.work / "more").exists() and not (trip.top / "more").exists()


def test_the_deaths_are_all_changes(trip: Trip) -> None:
    """So that each number above leads to a death."""
    _, wanted = set_out(trip)
    done = run(trip.top.parent, 0)
    assert int(done.stdout) == CHANGES, done.stderr
    assert walk(trip.top).files == walk(trip.work).files == wanted


def set_out(trip: Trip) -> tuple[tuple[Tree, Tree], Tree]:
    """Change both sides; return what they have, and what both should have."""
    for name in ("gone", "dir/a", "dir/b", "exec", "more"):
        repo.write(trip.top, name, b"as it was\n")
    (trip.top / "link").symlink_to("README")
    repo.commit(trip.top)
    trip.prepare()
    start = walk(trip.top).files
    change_one(trip.work)
    change_other(trip.top)
    (trip.top / "more").unlink()
    repo.git(trip.top, "add", "--intent-to-add", ".")
    save(trip)
    ours, theirs = walk(trip.top).files, walk(trip.work).files
    wanted = {
        name: entry
        for side, other in ((ours, theirs), (theirs, ours))
        for name, entry in side.items()
        if start.get(name) != entry or other.get(name) == entry
    }
    return (ours, theirs), wanted


def run(directory: Path, last: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tests.component.workspace.dying_sync", directory, str(last)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}"},
        capture_output=True,
        check=False,
        timeout=120,
    )
