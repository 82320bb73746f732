"""What a guest left in its work tree comes back byte for byte, or is named (A11).

Random trees, changed by random tools under random settings of the guest's git, against what
`os` reads of the same work tree. BANGER_TEST_EXPORTS=2000 tries so many; a failure prints
the trees and the steps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from banger.errors import RepositoryRefused
from tests.component.workspace.changes import HOST_SCRIPTS, SCRIPTS, TREES, script
from tests.component.workspace.conftest import Trip, new_trip
from tests.component.workspace.trees import (
    Tree,
    apply_to,
    lay_out,
    lay_out_over,
    not_ignored,
    tracked_by_guest,
    walk,
)
from tests.support import repositories as repo

ASKED = os.environ.get("BANGER_TEST_EXPORTS")
EXPORTS = int(ASKED or "20")
PHASES = [Phase.explicit, Phase.reuse, Phase.generate] + ([] if ASKED else [Phase.shrink])
"""A failure of a long run is told as it was found: making it smaller takes minutes."""


@given(first=TREES, dirty=HOST_SCRIPTS, steps=SCRIPTS, untracked=st.booleans())
@settings(max_examples=EXPORTS, phases=PHASES, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(0 if ASKED else 600)
def test_any_work_tree_comes_back(
    first: Tree, dirty: list[str], steps: list[str], untracked: bool
) -> None:
    """A11."""
    with tempfile.TemporaryDirectory() as directory:
        trip = new_trip(Path(directory))
        make_host(trip, first, dirty)
        try:
            trip.prepare(include_untracked=untracked)
        except RepositoryRefused:
            event("the repository is refused")
            return
        before = walk(trip.work).files
        in_guest(trip, steps)
        patch = trip.export()
        expected = left_in_guest(trip, before)
        require_named(trip, expected)
        converts = host_converts(trip, before)
        if not converts:
            assert apply_to(before, patch) == expected
        made = applied_in_place(trip, before, patch)
        if not converts and not has_attributes(expected):
            assert made == expected
        assert {name: made[name][0] for name in made} == {n: expected[n][0] for n in expected}


def make_host(trip: Trip, tree: Tree, steps: list[str]) -> None:
    """Commit a tree in the host's repository, and leave it in the middle of some work."""
    lay_out_over(trip.top, tree)
    repo.commit(trip.top, "the tree")
    subprocess.run(
        ["sh", "-c", script(steps), "sh", trip.top, new_directory(trip)],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | repo.ENVIRONMENT,
        check=True,
        timeout=60,
    )


def in_guest(trip: Trip, steps: list[str]) -> None:
    done = trip.guest.run_sync(
        ["sh", "-c", script(steps), "sh", str(trip.work), new_directory(trip)]
    )
    assert done.status == 0, done


def require_named(trip: Trip, expected: Tree) -> None:
    """Check that the notices name what the patch cannot hold, and nothing that it can."""
    walked = walk(trip.work)
    free = not_ignored(walked, exclude=exclude_of(trip))
    for beginning, there, required in (
        ("Pipes", walked.special, walked.special & free),
        ("Empty", walked.empty, {name for name in walked.empty if name + b"/hold" in free}),
        ("Repositories", walked.repositories, with_files(walked.repositories, expected)),
    ):
        notice = next((each for each in trip.notices if each.startswith(beginning)), None)
        assert (notice is None) <= (not required)
        assert (notice is None) >= (not there)
        for name in required:
            assert notice and (printed(name) in notice or "more." in notice)


def printed(name: bytes) -> str:
    """Return a name as a notice has it."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def with_files(directories: set[bytes], tree: Tree) -> set[bytes]:
    return {each for each in directories if any(name.startswith(each + b"/") for name in tree)}


def new_directory(trip: Trip) -> str:
    return tempfile.mkdtemp(dir=trip.scratch.parent)


def left_in_guest(trip: Trip, before: Tree) -> Tree:
    """Return the tree that has to come back.

    Ignored files do not, unless they were put in or the guest tracks them. What a sparse
    checkout of the guest removed is still there.
    """
    walked = walk(trip.work)
    kept = not_ignored(walked, exclude=exclude_of(trip)) | tracked_by_guest(trip.work)
    expected = {name: e for name, e in walked.files.items() if name in kept or name in before}
    for name in tracked_by_guest(trip.work, skipped=True).intersection(before):
        if not os.path.lexists(os.path.join(os.fsencode(trip.work), name)):
            expected[name] = before[name]
    return expected


def exclude_of(trip: Trip) -> bytes:
    return (trip.top / ".git/info/exclude").read_bytes()


def host_converts(trip: Trip, before: Tree) -> bool:
    """Tell whether git on the host may convert what a patch says.

    Then a patch that applies holds something else than the bytes.
    """
    config = repo.git(trip.top, "config", "--list").decode()
    return "autocrlf" in config or has_attributes(before)


def has_attributes(tree: Tree) -> bool:
    return any(name.endswith(b".gitattributes") for name in tree)


def applied_in_place(trip: Trip, before: Tree, patch: bytes) -> Tree:
    """Apply a patch to the host's work tree as it was put in; return what is there then."""
    top = trip.scratch.parent / "as-it-was"
    lay_out(top, before)
    shutil.copytree(trip.top / ".git", top / ".git", symlinks=True)
    if patch:
        repo.git(top, "apply", "--whitespace=nowarn", "-", stdin=patch)
    return walk(top).files
