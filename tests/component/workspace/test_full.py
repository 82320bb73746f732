"""`--full`: all history, the contents of submodules, the LFS objects that the host has."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.errors import BranchConflict
from banger.workspace import plan_import
from tests.component.workspace.conftest import Trip
from tests.support import repositories as repo
from tests.support.odd.places import large_file, large_files
from tests.support.odd.submodules import add


@pytest.fixture
def with_submodule(trip: Trip) -> Trip:
    add(trip.top)
    return trip


def test_all_history_arrives(trip: Trip) -> None:
    repo.write(trip.top, "README", b"second\n")
    repo.commit(trip.top, "second")
    repo.git(trip.top, "tag", "-a", "v1", "-m", "a tag", "HEAD~1")
    repo.git(trip.top, "branch", "side", "HEAD~1")
    trip.prepare(full=True)
    assert repo.git(trip.work, "log", "--format=%s") == b"second\nfirst\n"
    assert repo.git(trip.work, "describe") == b"v1-1-" + repo.git(trip.top, "describe")[5:]
    assert repo.git(trip.work, "rev-parse", "--is-shallow-repository") == b"false\n"
    repo.git(trip.work, "switch", "--quiet", "side")
    repo.git(trip.work, "fsck", "--full", "--strict")


def test_commits_on_another_branch_come_back(trip: Trip) -> None:
    """The guest works on a branch that is not the prepared one; nothing is lost."""
    from tests.component.workspace.test_branch import export_to

    repo.git(trip.top, "branch", "side")
    trip.prepare(full=True)
    repo.git(trip.work, "switch", "--quiet", "side")
    repo.write(trip.work, "new", b"new\n")
    commit = repo.commit(trip.work, "in the guest")
    assert export_to(trip, "result").commit == commit
    assert repo.git(trip.top, "show", "result:new") == b"new\n"


def test_nothing_of_a_stash_or_a_reflog_arrives(trip: Trip) -> None:
    repo.write(trip.top, "README", b"a secret that was never committed\n")
    repo.git(trip.top, "stash", "--quiet")
    blob = repo.git(trip.top, "rev-parse", "stash@{0}:README").decode().strip()
    trip.prepare(full=True)
    assert repo.git(trip.work, "cat-file", "-e", blob, check=False) == b""
    assert blob.encode() not in repo.git(
        trip.work, "cat-file", "--batch-check", "--batch-all-objects"
    )


def test_commits_in_the_guest_are_not_signed(trip: Trip) -> None:
    repo.git(trip.top, "config", "commit.gpgSign", "true")
    repo.git(trip.top, "config", "user.signingKey", "0123456789ABCDEF")
    trip.guest.home.joinpath(".gitconfig").write_text("[commit]\n\tgpgSign = true\n")
    trip.prepare()
    script = f"cd {trip.work}; git commit -q --allow-empty -m unsigned; git log -1 --format=%s%G?"
    assert trip.guest.run_sync(["sh", "-c", script]).untrusted_stdout == b"unsignedN\n"


@pytest.mark.parametrize("name", ["main/below", "side"])
def test_a_new_branch_in_the_way_of_another_is_refused(trip: Trip, name: str) -> None:
    repo.git(trip.top, "branch", "side/one")
    with pytest.raises(BranchConflict, match="conflicts with the name"):
        trip.inspect(full=True, branch=name)


def test_a_new_branch_from_another_commit_with_all_history(trip: Trip) -> None:
    repo.write(trip.top, "README", b"second\n")
    repo.commit(trip.top, "second")
    trip.prepare(full=True, branch="new", from_ref="HEAD~1")
    assert repo.git(trip.work, "branch", "--show-current") == b"new\n"
    assert repo.git(trip.work, "log", "--format=%s", "main") == b"second\nfirst\n"
    assert (trip.work / "README").read_bytes() == b"read me\n"
    assert repo.status(trip.work) == []


def test_submodules_have_their_contents_and_history(with_submodule: Trip) -> None:
    trip = with_submodule
    prepared = trip.prepare(full=True)
    inside = trip.work / "vendor/sub"
    assert repo.git(inside, "log", "--format=%s") == repo.git(
        trip.top / "vendor/sub", "log", "--format=%s"
    )
    assert repo.status(inside) == repo.status(trip.work) == []
    assert not any("Submodules" in notice for notice in prepared.notices)
    plan = plan_import(trip.inspect(full=True))
    assert b"vendor/sub/README" in [file.name for file in plan.files]
    assert plan.bytes == prepared.bytes
    assert len(plan.files) == prepared.files


def test_without_full_a_notice_names_the_option(with_submodule: Trip) -> None:
    assert any("--full" in notice for notice in with_submodule.prepare().notices)


def test_what_a_guest_does_in_a_submodule_is_named(with_submodule: Trip) -> None:
    """A11: a commit there comes back as its name only, and a notice says so."""
    trip = with_submodule
    trip.prepare(full=True)
    inside = trip.work / "vendor/sub"
    repo.write(inside, "README", b"changed\n")
    assert trip.export() == b""
    assert trip.notices == ["Submodules with changes of their own, not exported: vendor/sub."]
    commit = repo.commit(inside, "in the guest")
    assert f"+Subproject commit {commit}".encode() in trip.export()
    assert trip.notices == [
        "Submodules at other commits, which were not exported themselves: vendor/sub."
    ]


def test_submodules_stay_empty_at_another_commit(with_submodule: Trip) -> None:
    """Their contents might belong to another commit of them."""
    trip = with_submodule
    repo.write(trip.top, "README", b"second\n")
    repo.commit(trip.top, "second")
    prepared = trip.prepare(full=True, branch="new", from_ref="HEAD~1")
    assert list((trip.work / "vendor/sub").iterdir()) == []
    assert any("empty directories in the guest: 1." in each for each in prepared.notices)


def test_large_files_arrive_and_links_to_them_do_not(trip: Trip, tmp_path: Path) -> None:
    """F4: a link in the git directory leads nowhere. A5: what only a stash names stays."""
    large_files(trip.top)
    objects = trip.top / ".git/lfs/objects"
    wanted = repo.snapshot(objects)
    repo.write(trip.top, "stashed.big", large_file(trip.top / ".git", b"of a stash alone"))
    repo.git(trip.top, "stash", "--quiet", "--include-untracked")
    linked = "f" * 64
    (tmp_path / "private").write_bytes(b"a secret\n")
    (objects / "ff/ff").mkdir(parents=True)
    (objects / "ff/ff" / linked).symlink_to(tmp_path / "private")
    (objects / "ee").symlink_to(tmp_path)
    facts = trip.inspect(full=True)
    assert facts.history and len(facts.history.large_files) == 2
    trip.prepare(full=True)
    assert repo.snapshot(trip.work / ".git/lfs/objects") == wanted
    assert not (trip.work / ".git/lfs/cache").exists()


def test_a_linked_directory_of_large_files_is_not_followed(trip: Trip, tmp_path: Path) -> None:
    large_files(trip.top)
    (trip.top / ".git/lfs").rename(tmp_path / "elsewhere")
    (trip.top / ".git/lfs").symlink_to(tmp_path / "elsewhere")
    facts = trip.inspect(full=True)
    assert facts.history and facts.history.large_files == ()
