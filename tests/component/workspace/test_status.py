"""`workspace status` and `diff`: what changed in the guest and on the host since the prepare."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import aclosing

import pytest

from banger.model.diffs import DiffStyle
from banger.workspace import WorkspaceStatus, read_status, show_changes
from tests.component.workspace.conftest import DEADLINE_S, Trip
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest


def status(trip: Trip) -> WorkspaceStatus:
    read = read_status(
        trip.guest, trip.record, bases=trip.bases, deadline_s=DEADLINE_S, scratch=trip.scratch
    )
    found = asyncio.run(read)
    assert list(trip.scratch.iterdir()) == []
    return found


def host_changes(trip: Trip) -> list[tuple[bytes, str]]:
    found = status(trip)
    assert found.host is not None
    assert found.host.is_stale(trip.record) == bool(found.host.changes)
    return [(each.name, each.letter) for each in found.host.changes]


def show(trip: Trip, style: DiffStyle, *, since_commit: bool = False) -> str:
    async def collect() -> bytes:
        text = show_changes(
            trip.guest,
            trip.record,
            style=style,
            width=80,
            deadline_s=DEADLINE_S,
            bases=trip.bases,
            since_commit=since_commit,
            notify=trip.notices.append,
            scratch=trip.scratch,
        )
        async with aclosing(text) as chunks:
            return b"".join([chunk async for chunk in chunks])

    return asyncio.run(collect()).decode()


@pytest.mark.parametrize("plain", [False, True])
def test_a_guest_that_does_nothing(trip: Trip, plain: bool) -> None:
    """Whatever the host's own changes were: they were put in."""
    repo.write(trip.top, "README", b"changed\n")
    (trip.top / "src/main.py").unlink()
    trip.prepare(plain=plain)
    found = status(trip)
    assert found.changes == () and found.notices == ()
    assert host_changes(trip) == []
    assert (found.position is None) == plain
    assert show(trip, DiffStyle.PATCH) == ""


def test_the_guests_changes_have_their_letters(trip: Trip) -> None:
    repo.write(trip.top, "type", b"x\n")
    repo.commit(trip.top)
    trip.prepare()
    repo.write(trip.work, "README", b"changed\n")
    commit = repo.commit(trip.work, "in the guest")
    repo.git(trip.work, "switch", "--quiet", "-c", "side")
    (trip.work / "src/main.py").unlink()
    (trip.work / "type").unlink()
    (trip.work / "type").symlink_to("README")
    repo.write(trip.work, "new", b"x\n")
    found = status(trip)
    assert [(each.name, each.letter) for each in found.changes] == [
        (b"README", "M"),
        (b"new", "A"),
        (b"src/main.py", "D"),
        (b"type", "T"),
    ]
    assert found.position is not None
    assert (found.position.commit, found.position.branch, found.position.commits) == (
        commit,
        "side",
        1,
    )


def edit(trip: Trip) -> None:
    """A change of size; a change of time alone is told as well."""
    repo.write(trip.top, "README", b"longer than before\n")


def touch(trip: Trip) -> None:
    os.utime(trip.top / "README", (1, 1))


def make_executable(trip: Trip) -> None:
    (trip.top / "README").chmod(0o755)


def link(trip: Trip) -> None:
    (trip.top / "README").unlink()
    (trip.top / "README").symlink_to("src")


@pytest.mark.parametrize("change", [edit, touch, make_executable, link])
@pytest.mark.parametrize("plain", [False, True])
def test_the_hosts_changes_are_seen(
    trip: Trip, change: Callable[[Trip], None], plain: bool
) -> None:
    trip.prepare(plain=plain)
    change(trip)
    assert host_changes(trip) == [(b"README", "M")]


def test_names_that_come_and_go_on_the_host(trip: Trip) -> None:
    trip.prepare()
    (trip.top / "README").unlink()
    repo.write(trip.top, "added", b"x\n")
    repo.write(trip.top, "untracked", b"x\n")
    repo.git(trip.top, "add", "added")
    assert host_changes(trip) == [(b"README", "D"), (b"added", "A")]


def test_a_commit_on_the_host_makes_a_workspace_stale(trip: Trip) -> None:
    trip.prepare()
    commit = repo.commit(trip.top, "an empty one")
    found = status(trip)
    assert found.host is not None and found.host.is_stale(trip.record)
    assert found.host.commit == commit and found.host.changes == ()


def test_a_copy_of_another_commit_is_compared_by_commit_alone(trip: Trip) -> None:
    repo.write(trip.top, "README", b"second\n")
    repo.commit(trip.top, "second")
    trip.prepare(branch="b", from_ref="HEAD~1")
    found = status(trip)
    assert found.host is not None and found.host.changes == ()


def test_a_repository_that_is_gone_is_told(trip: Trip) -> None:
    """A plain directory may go; what changed in the guest is still known."""
    trip.prepare(plain=True)
    shutil.rmtree(trip.top)
    repo.write(trip.work, "README", b"changed\n")
    found = status(trip)
    assert found.host is None and len(found.changes) == 1
    assert found.notices and "does not exist" in found.notices[0]


def test_a_guest_without_git(trip: Trip) -> None:
    trip.prepare()
    trip.guest = LocalGuest(trip.guest.home, path="/nonexistent")
    assert status(trip).position is None


def test_diffs_for_people(trip: Trip) -> None:
    repo.write(trip.top, "moved", b"".join(b"%d\n" % n for n in range(50)))
    repo.write(trip.top, "README", b"changed on the host\n")
    repo.git(trip.top, "add", "moved")
    trip.prepare()
    repo.write(trip.work, "README", b"changed in the guest\n")
    (trip.work / "moved").rename(trip.work / "elsewhere")
    repo.write(trip.work, "elsewhere", b"".join(b"%d\n" % n for n in range(51)))
    patch = show(trip, DiffStyle.PATCH)
    assert "-changed on the host\n+changed in the guest\n" in patch
    assert "rename from moved\nrename to elsewhere\n" in patch
    assert "changed [-on-]{+in+} the [-host-]{+guest+}" in show(trip, DiffStyle.WORD)
    stat = show(trip, DiffStyle.STAT)
    assert " 2 files changed, 2 insertions(+), 1 deletion(-)" in stat
    since = show(trip, DiffStyle.PATCH, since_commit=True)
    assert "-read me\n+changed in the guest\n" in since
