"""`workspace apply`: a guest's changes get into the host's files, and never over the user's own."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from banger.errors import RepositoryRefused
from banger.workspace import Applied, apply_changes
from banger.workspace.merging import Conflict, Reason
from tests.component.workspace.conftest import DEADLINE_S, Trip
from tests.component.workspace.trees import walk
from tests.support import repositories as repo

LINES = b"".join(b"line %d\n" % number for number in range(30))


@pytest.fixture
def trip(trip: Trip) -> Trip:
    for name in ("lines", "gone", "dir/a", "dir/b", "exec"):
        repo.write(trip.top, name, LINES)
    (trip.top / "link").symlink_to("README")
    repo.commit(trip.top)
    return trip


def apply(trip: Trip, *, marks: bool = False, check: bool = False) -> Applied:
    return asyncio.run(
        apply_changes(
            trip.guest,
            trip.record,
            bases=trip.bases,
            deadline_s=DEADLINE_S,
            with_marks=marks,
            check=check,
            scratch=trip.scratch,
        )
    )


def change_everything(work: Path) -> None:
    repo.write(work, "README", b"changed\n")
    repo.write(work, "new/deep/file", os.urandom(3000) + b"\0")
    repo.write(work, b"latin-\xe9", b"x\n")
    (work / "gone").unlink()
    shutil.rmtree(work / "dir")
    repo.write(work, "dir", b"a file now\n")
    (work / "exec").chmod(0o755)
    (work / "link").unlink()
    (work / "link").symlink_to("elsewhere")
    (work / "src/main.py").unlink()
    repo.write(work, "src/main.py/below", b"x\n")


@pytest.mark.parametrize("marks", [False, True])
def test_a_guest_that_was_restored_to_before_a_prepare_overwrites_nothing(
    trip: Trip, marks: bool
) -> None:
    """A11: its older files are no changes to what the host's were when they were copied again."""
    trip.prepare()
    saved, mark = trip.work.with_name("saved"), trip.work.parent / ".project.banger-synced"
    shutil.copytree(trip.work, saved, symlinks=True)
    before = mark.read_bytes()
    for name in ("lines", "new"):
        repo.write(trip.top, name, b"newer\n")
    trip.prepare(include_untracked=True)
    shutil.rmtree(trip.work)
    saved.rename(trip.work)
    mark.write_bytes(before)
    done = apply(trip, marks=marks)
    assert {each.name for each in done.conflicts} == {b"lines", b"new"} and not done.written
    assert "restored" in "".join(done.notices)
    assert (trip.top / "lines").read_bytes() == (trip.top / "new").read_bytes() == b"newer\n"


@pytest.mark.parametrize("plain", [False, True])
def test_everything_is_applied(trip: Trip, plain: bool) -> None:
    """A11: a file becomes a directory and the other way round, and nothing else is touched."""
    if plain:
        shutil.rmtree(trip.top / ".git")
    repo.write(trip.top, "mine", b"untracked\n")
    index = None if plain else (trip.top / ".git/index").read_bytes()
    trip.prepare(plain=plain)
    change_everything(trip.work)
    done = apply(trip)
    assert done.done and not done.conflicts and not done.merged
    ours = walk(trip.top).files
    assert plain or ours.pop(b"mine") == ("100644", b"untracked\n")
    assert ours == walk(trip.work).files
    assert plain or (trip.top / ".git/index").read_bytes() == index
    again = apply(trip)
    assert not again.written and not again.removed and len(again.there) == len(walk_changed(done))


def walk_changed(done: Applied) -> tuple[bytes, ...]:
    return (*done.written, *done.removed)


def test_a_check_changes_nothing(trip: Trip) -> None:
    trip.prepare()
    change_everything(trip.work)
    before = walk(trip.top).files
    done = apply(trip, check=True)
    assert not done.done and b"README" in done.written
    assert walk(trip.top).files == before


def test_changes_of_both_sides_are_merged(trip: Trip) -> None:
    trip.prepare()
    repo.write(trip.work, "lines", LINES.replace(b"line 3\n", b"guest's\n"), mode=0o755)
    repo.write(trip.top, "lines", LINES.replace(b"line 20\n", b"host's\n"), mode=0o640)
    done = apply(trip)
    assert done.merged == (b"lines",)
    merged = (trip.top / "lines").read_bytes()
    assert b"guest's" in merged and b"host's" in merged
    assert (trip.top / "lines").stat().st_mode & 0o777 == 0o750
    assert apply(trip).merged == (b"lines",) and (trip.top / "lines").read_bytes() == merged


def test_a_conflict_is_named_and_nothing_is_written(trip: Trip) -> None:
    trip.prepare()
    for top, who in ((trip.work, b"guest"), (trip.top, b"host")):
        repo.write(top, "lines", LINES.replace(b"line 3\n", who + b"\n"))
    repo.write(trip.work, "README", b"changed\n")
    before = walk(trip.top).files
    done = apply(trip)
    assert not done.done
    assert done.conflicts == (Conflict(b"lines", Reason.BOTH_CHANGED),)
    assert walk(trip.top).files == before
    marked = apply(trip, marks=True)
    assert marked.done and marked.marked == (b"lines",)
    lines = (trip.top / "lines").read_bytes()
    assert b"<<<<<<< host\nhost\n=======\nguest\n>>>>>>> guest\n" in lines
    assert (trip.top / "README").read_bytes() == b"changed\n"


def deleted_here(trip: Trip) -> None:
    (trip.top / "lines").unlink()
    repo.write(trip.work, "lines", b"changed\n")


def deleted_there(trip: Trip) -> None:
    (trip.work / "lines").unlink()
    repo.write(trip.top, "lines", b"changed\n")


def added_on_both(trip: Trip) -> None:
    repo.write(trip.top, "lines2", b"host\n")
    repo.write(trip.work, "lines2", b"guest\n")


def binary(trip: Trip) -> None:
    repo.write(trip.top, "lines", b"\0host\n")
    repo.write(trip.work, "lines", b"\0guest\n")


def another_type(trip: Trip) -> None:
    (trip.top / "lines").unlink()
    (trip.top / "lines").symlink_to("README")
    repo.write(trip.work, "lines", b"guest\n")


def pipe(trip: Trip) -> None:
    (trip.top / "lines").unlink()
    os.mkfifo(trip.top / "lines")
    repo.write(trip.work, "lines", b"guest\n")


def file_in_the_way(trip: Trip) -> None:
    repo.write(trip.top, "added", b"host\n")
    repo.write(trip.work, "added/below", b"guest\n")


def link_in_the_way(trip: Trip) -> None:
    (trip.top / "added").symlink_to(trip.scratch)
    repo.write(trip.work, "added/below", b"guest\n")


def directory_in_the_way(trip: Trip) -> None:
    repo.write(trip.top, "added/below", b"host\n")
    repo.write(trip.work, "added", b"guest\n")


def directory_with_more(trip: Trip) -> None:
    repo.write(trip.top, "dir/mine", b"untracked\n")
    shutil.rmtree(trip.work / "dir")
    repo.write(trip.work, "dir", b"guest\n")


CONFLICTS = {
    deleted_here: (b"lines", Reason.DELETED_HERE),
    deleted_there: (b"lines", Reason.DELETED_THERE),
    added_on_both: (b"lines2", Reason.BOTH_ADDED),
    binary: (b"lines", Reason.BOTH_CHANGED),
    another_type: (b"lines", Reason.TYPE),
    pipe: (b"lines", Reason.TYPE),
    file_in_the_way: (b"added/below", Reason.FILE_IN_THE_WAY),
    link_in_the_way: (b"added/below", Reason.FILE_IN_THE_WAY),
    directory_in_the_way: (b"added", Reason.DIRECTORY_IN_THE_WAY),
    directory_with_more: (b"dir", Reason.DIRECTORY_IN_THE_WAY),
}


@pytest.mark.parametrize("collide", CONFLICTS)
def test_nothing_of_the_users_is_overwritten(trip: Trip, collide: object) -> None:
    """E1: and nothing is written through a link; also not with --3way."""
    assert callable(collide)
    trip.prepare()
    collide(trip)
    before = walk(trip.top)
    done = apply(trip)
    assert not done.done
    assert [(each.name, each.reason) for each in done.conflicts] == [CONFLICTS[collide]]
    assert apply(trip, marks=True).done
    after = walk(trip.top)
    kept = {name: entry for name, entry in before.files.items() if name not in done.removed}
    assert after.files == kept and after.special == before.special
    assert list(trip.scratch.iterdir()) == []


def test_a_host_that_is_gone_is_told(trip: Trip) -> None:
    trip.prepare()
    trip.top.rename(trip.top.with_name("moved"))
    with pytest.raises(RepositoryRefused, match="no longer a directory"):
        apply(trip)


def test_modes_of_a_repository_that_ignores_them(trip: Trip) -> None:
    repo.git(trip.top, "config", "core.fileMode", "false")
    (trip.top / "lines").chmod(0o755)
    trip.prepare()
    repo.write(trip.work, "lines", b"changed\n", mode=0o755)
    assert apply(trip).done
    assert (trip.top / "lines").read_bytes() == b"changed\n"


def test_directories_stay_as_private_as_they_were(trip: Trip) -> None:
    trip.prepare()
    (trip.top / "dir").chmod(0o700)
    repo.write(trip.work, "dir/a", b"changed\n")
    assert apply(trip).done
    assert (trip.top / "dir").stat().st_mode & 0o777 == 0o700
