"""`exec --auto-prepare`: copy again what changed on the host, and keep what the guest ignores."""

from __future__ import annotations

import asyncio
import os

import pytest

from banger.errors import ChangesConflict, RepositoryRefused
from banger.workspace import (
    count_stale,
    import_again,
    inspect_directory,
    is_stale,
    plan_import,
    renew_record,
    require_untouched,
)
from banger.workspace import refreshing as room
from tests.component.workspace.conftest import DEADLINE_S, Trip
from tests.component.workspace.trees import walk
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest


def stale(trip: Trip) -> bool:
    return asyncio.run(is_stale(trip.record, bases=trip.bases, scratch=trip.scratch))


def refuse_if_touched(trip: Trip) -> None:
    asyncio.run(
        require_untouched(
            trip.guest,
            trip.record,
            vm="box",
            deadline_s=DEADLINE_S,
            bases=trip.bases,
            scratch=trip.scratch,
        )
    )


def prepare_again(trip: Trip, **options: object) -> None:
    plain = asyncio.run(inspect_directory(trip.top)) if trip.is_plain else None
    facts = plain or trip.inspect(**options)
    again = import_again(
        trip.guest,
        plan_import(facts, str(trip.work)),
        trip.record,
        deadline_s=DEADLINE_S,
        bases=trip.bases,
        scratch=trip.scratch,
    )
    before = trip.record
    trip.prepared = asyncio.run(again)
    assert renew_record(before, trip.prepared) == trip.record


def test_a_workspace_that_is_as_copied_is_not_stale(trip: Trip) -> None:
    repo.write(trip.top, "README", b"changed before\n")
    trip.prepare()
    assert not stale(trip) and count_stale(trip.record, bases=trip.bases) == 0
    refuse_if_touched(trip)


@pytest.mark.parametrize("plain", [False, True])
def test_changes_arrive_and_what_is_ignored_stays(trip: Trip, plain: bool) -> None:
    for name in ("gone/a", "gone/deep/b", "stays/c", "stays/d"):
        repo.write(trip.top, name, b"x\n")
    repo.write(trip.top, ".gitignore", b"build/\n*.o\n")
    repo.commit(trip.top)
    trip.prepare(plain=plain)
    if not plain:
        repo.write(trip.work, "build/result", b"took an hour\n")
        repo.write(trip.work, "src/main.o", b"object\n")
        repo.write(trip.work, "gone/x.o", b"object\n")
    for name in ("gone/a", "gone/deep/b", "stays/c"):
        (trip.top / name).unlink()
    (trip.top / "gone/deep").rmdir()
    (trip.top / "gone").rmdir()
    repo.write(trip.top, "README", b"changed\n")
    repo.write(trip.top, "new/file", b"x\n")
    repo.git(trip.top, "add", "--all")
    assert stale(trip)
    refuse_if_touched(trip)
    prepare_again(trip)
    theirs = walk(trip.work)
    if not plain:
        for name in (b"build/result", b"src/main.o", b"gone/x.o"):
            assert theirs.files.pop(name)
    assert theirs.files == walk(trip.top).files and theirs.empty == set()
    assert plain or repo.status(trip.work) == repo.status(trip.top)
    assert trip.export() == b"" and trip.notices == []
    assert not stale(trip)


def edit(trip: Trip) -> None:
    repo.write(trip.work, "README", b"the guest's\n")


def add(trip: Trip) -> None:
    repo.write(trip.work, "new", b"x\n")


def only_commit(trip: Trip) -> None:
    repo.git(trip.work, "commit", "--quiet", "--allow-empty", "-m", "work")


@pytest.mark.parametrize("change", [edit, add, only_commit])
def test_work_of_the_guest_is_never_moved_aside(trip: Trip, change: object) -> None:
    """A11: a prepare by hand does that, and says so."""
    assert callable(change)
    trip.prepare()
    change(trip)
    with pytest.raises(ChangesConflict, match="have changed") as caught:
        refuse_if_touched(trip)
    assert caught.value.hint == "banger vm workspace sync box"


def test_a_new_commit_alone_makes_it_stale(trip: Trip) -> None:
    trip.prepare()
    commit = repo.commit(trip.top, "empty")
    assert stale(trip) and count_stale(trip.record, bases=trip.bases) == 0
    prepare_again(trip)
    assert repo.git(trip.work, "rev-parse", "HEAD").decode().strip() == commit


@pytest.mark.parametrize("full", [False, True])
def test_a_branch_that_the_host_has_by_now_is_kept(trip: Trip, full: bool) -> None:
    """As after an export; it leads to the commit of the copy, as before."""
    trip.prepare(branch="fix", full=full)
    repo.git(trip.top, "switch", "--quiet", "--create", "fix")
    repo.commit(trip.top, "exported")
    repo.git(trip.top, "switch", "--quiet", "-")
    repo.write(trip.top, "README", b"changed\n")
    prepare_again(trip, branch="fix", full=full, renews=True)
    assert repo.git(trip.work, "branch", "--show-current") == b"fix\n"
    assert repo.git(trip.work, "rev-parse", "HEAD") == repo.git(trip.top, "rev-parse", "HEAD")
    assert repo.status(trip.work) == repo.status(trip.top)


def test_many_deleted_names_fit_the_arguments(trip: Trip) -> None:
    for number in range(1500):
        repo.write(trip.top, f"many/{'n' * 150}{number}", b"x\n")
    repo.commit(trip.top)
    trip.prepare()
    trip.guest.commands.clear()
    repo.git(trip.top, "rm", "-r", "--quiet", "many")
    prepare_again(trip)
    assert max(len("".join(command)) for command in trip.guest.commands) < 128 * 1024
    assert not (trip.work / "many").exists()


def test_a_file_that_cannot_be_deleted_is_told(trip: Trip) -> None:
    """And the workspace is still the old one."""
    trip.prepare()
    (trip.work / "README").unlink()
    (trip.work / "README").mkdir()
    (trip.top / "README").unlink()
    with pytest.raises(Exception, match="cannot be deleted"):
        prepare_again(trip)
    assert (trip.work / "README").is_dir()


def test_a_notice_costs_no_reading_of_a_huge_base(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip.prepare()
    os.utime(trip.top / "README", (1, 1))
    assert count_stale(trip.record, bases=trip.bases) == 1
    monkeypatch.setattr(room, "MANIFEST_BYTES_MAX", 10)
    with pytest.raises(RepositoryRefused, match="too large"):
        count_stale(trip.record, bases=trip.bases)


def test_a_guest_without_git_is_compared_by_files(trip: Trip) -> None:
    trip.prepare()
    trip.guest = LocalGuest(trip.guest.home, path="/nonexistent")
    refuse_if_touched(trip)
