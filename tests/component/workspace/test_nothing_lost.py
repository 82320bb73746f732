"""Branches of what is in a guest's work tree, committed or not, and what notices name.

What comes back in a patch is in `test_guest_git.py`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.errors import ExportTooLarge, WorkspaceNotFound
from banger.workspace import gathering
from tests.component.workspace.conftest import Trip
from tests.component.workspace.test_branch import export_to
from tests.support import repositories as repo

# --- repositories within ---------------------------------------------------------


@pytest.mark.parametrize("commits", ["", "inner", "inner and outer"])
def test_a_repository_made_in_the_guest_is_files_of_a_branch(trip: Trip, commits: str) -> None:
    trip.prepare()
    repo.write(trip.work / "app", "src/main.rs", b"fn main() {}\n")
    repo.init(trip.work / "app")
    if "inner" in commits:
        repo.commit(trip.work / "app")
    if "outer" in commits:
        repo.commit(trip.work)
        assert repo.git(trip.work, "ls-tree", "HEAD", "app").startswith(b"160000")
    exported = export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "show", "b:app/src/main.rs") == b"fn main() {}\n"
    (notice,) = exported.notices
    assert notice.endswith("exported without their history: app.")


# --- changes that stat data hides ------------------------------------------------


def twins(trip: Trip) -> None:
    for name, content in (("a", b"one\n"), ("b", b"two\n")):
        repo.write(trip.top, name, content)
        os.utime(trip.top / name, (10**9, 10**9))
    repo.commit(trip.top)
    trip.prepare()
    assert repo.status(trip.work) == []


def swap(work: Path) -> None:
    (work / "a").rename(work / "t")
    (work / "b").rename(work / "a")
    (work / "t").rename(work / "b")


def move_over(work: Path) -> None:
    subprocess.run(["cp", "-p", "b", "c"], cwd=work, check=True)
    (work / "c").rename(work / "a")


@pytest.mark.parametrize("change", [swap, move_over])
def test_the_guests_git_sees_a_change_of_the_same_size_and_time(
    trip: Trip, change: Callable[[Path], None]
) -> None:
    twins(trip)
    change(trip.work)
    assert b" M a" in repo.status(trip.work)
    repo.commit(trip.work)
    assert export_to(trip, "b").files >= 1


def test_the_first_status_in_the_guest_reads_no_file(trip: Trip) -> None:
    """Every entry of its index has the stat data of the guest's own file."""
    for number in range(20):
        repo.write(trip.top, f"d{number % 3}/f{number}", b"%d\n" % number)
    os.symlink("README", trip.top / "link")
    repo.commit(trip.top)
    for name in repo.git(trip.top, "ls-files").split():
        os.utime(os.path.join(os.fsencode(trip.top), name), (10**9, 10**9), follow_symlinks=False)
    repo.git(trip.top, "status")
    trip.prepare()
    listed = repo.git(trip.work, "ls-files", "--debug").decode().splitlines()
    names = [line for line in listed if not line.startswith(" ")]
    inodes = [int(line.split("ino: ")[1]) for line in listed if "ino: " in line]
    assert len(names) == 23
    assert inodes == [(trip.work / name).lstat().st_ino for name in names]
    assert repo.git(trip.work, "-c", "core.trustctime=true", "diff-files") == b""


# --- what is named -----------------------------------------------------------------


def test_what_git_cannot_hold_is_named(trip: Trip) -> None:
    trip.prepare()
    (trip.work / "empty/deep").mkdir(parents=True)
    os.mkfifo(trip.work / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(trip.work)
        listener.bind("socket")
        os.chdir(here)
    repo.write(trip.work, ".GIT/config", b"x\n")
    assert trip.export() == b""
    assert trip.notices == [
        "Empty directories, which git cannot store: empty/deep.",
        "Pipes, sockets and devices, which git cannot store: pipe, socket.",
        "Names that are not allowed in a patch, left out: .GIT.",
    ]


def test_a_notice_is_safe_on_a_terminal(trip: Trip) -> None:
    """E3."""
    trip.prepare()
    os.mkdir(os.path.join(os.fsencode(trip.work), b"\x1b[31m\xff"))
    trip.export()
    assert trip.notices == ["Empty directories, which git cannot store: \\x1b[31m\\xff."]


# --- a guest in trouble ------------------------------------------------------------


def no_git_dir(work: Path) -> None:
    shutil.rmtree(work / ".git")
    (work / "README").write_bytes(b"changed\n")


def new_git_dir(work: Path) -> None:
    no_git_dir(work)
    repo.commit(repo.init(work))


@pytest.mark.parametrize("change", [no_git_dir, new_git_dir])
def test_a_branch_without_the_guests_git_directory(
    trip: Trip, change: Callable[[Path], None]
) -> None:
    """Its files become one commit on the prepared one, if that is asked for."""
    trip.prepare()
    change(trip.work)
    with pytest.raises(WorkspaceNotFound, match="no longer has"):
        export_to(trip, "b")
    exported = export_to(trip, "b", include_uncommitted=True)
    assert (exported.commits, exported.files) == (1, 1)
    assert repo.git(trip.top, "show", "b:README") == b"changed\n"


def test_a_file_that_is_too_large_is_named(trip: Trip) -> None:
    """E2: before its bytes come."""
    trip.prepare()
    with open(trip.work / "huge", "wb") as file:
        os.truncate(file.fileno(), gathering.FILE_BYTES_MAX + 1)
    with pytest.raises(ExportTooLarge, match="'huge'"):
        trip.export()


def test_a_branch_of_a_sparse_checkout_removes_nothing(trip: Trip) -> None:
    trip.prepare()
    repo.git(trip.work, "sparse-checkout", "set", "--no-cone", "/README")
    assert not (trip.work / "src").exists()
    (trip.work / "README").write_bytes(b"changed\n")
    assert export_to(trip, "b", include_uncommitted=True).files == 1


# --- branches ------------------------------------------------------------------------


def test_a_branch_may_be_named_by_its_reference(trip: Trip) -> None:
    trip.prepare()
    assert export_to(trip, "refs/heads/z").branch == "z"
    assert repo.git(trip.top, "branch", "--list", "z") and not repo.git(
        trip.top, "for-each-ref", "refs/heads/refs"
    )


def test_an_export_with_what_is_not_committed_can_be_repeated(trip: Trip) -> None:
    trip.prepare()
    repo.write(trip.work, "README", b"one\n")
    first = export_to(trip, "b", include_uncommitted=True)
    assert export_to(trip, "b", include_uncommitted=True).commit == first.commit
    repo.write(trip.work, "README", b"two\n")
    export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "show", "b:README") == b"two\n"
    assert repo.git(trip.top, "rev-list", "--count", "main..b") == b"1\n"
    repo.commit(trip.work, "now committed")
    export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "log", "-1", "--format=%s", "b") == b"now committed\n"


def test_only_ones_own_export_is_replaced(trip: Trip) -> None:
    trip.prepare()
    repo.write(trip.work, "README", b"one\n")
    export_to(trip, "b", include_uncommitted=True)
    repo.git(trip.top, "worktree", "add", "--quiet", str(trip.scratch.with_name("side")), "b")
    repo.write(trip.scratch.with_name("side"), "mine", b"mine\n")
    repo.commit(trip.scratch.with_name("side"), "of the user")
    repo.git(trip.top, "worktree", "remove", str(trip.scratch.with_name("side")))
    repo.write(trip.work, "README", b"two\n")
    with pytest.raises(Exception, match="commits that the guest does not have"):
        export_to(trip, "b", include_uncommitted=True)


def test_line_ends_in_a_branch_are_the_hosts(trip: Trip) -> None:
    """What the host's git would commit, not the bytes: else every line would change."""
    repo.git(trip.top, "config", "core.autocrlf", "true")
    repo.write(trip.top, "dos.txt", b"one\r\ntwo\r\n")
    repo.commit(trip.top)
    trip.prepare()
    repo.write(trip.work, "dos.txt", b"one\r\ntwo\r\nthree\r\n")
    repo.write(trip.work, "new.txt", b"new\r\n")
    export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "show", "b:dos.txt") == b"one\ntwo\nthree\n"
    assert repo.git(trip.top, "show", "b:new.txt") == b"new\n"
    assert repo.git(trip.top, "diff", "--name-only", "main", "b") == b"dos.txt\nnew.txt\n"


def test_the_hosts_own_changes_are_part_of_a_branch(trip: Trip) -> None:
    repo.write(trip.top, "README", b"of the host\n")
    trip.prepare()
    repo.write(trip.work, "new", b"x\n")
    assert export_to(trip, "b", include_uncommitted=True).files == 2
    assert repo.git(trip.top, "show", "b:README") == b"of the host\n"


# --- what the host keeps -----------------------------------------------------------


def test_files_are_removed_from_a_repository_with_long_ids(trip: Trip) -> None:
    """F4: objects of a sha256 repository have ids of 64 digits, also in what removes a file."""
    shutil.rmtree(trip.top)
    repo.git(trip.top.parent, "init", "-q", "-b", "main", "--object-format=sha256", str(trip.top))
    repo.write(trip.top, "kept", b"1\n")
    repo.write(trip.top, "removed", b"2\n")
    repo.commit(trip.top)
    trip.prepare()
    (trip.work / "removed").unlink()
    repo.write(trip.work, "kept", b"changed\n")
    export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "ls-tree", "--name-only", "b") == b"kept\n"


def test_a_base_that_is_gone_costs_no_work(trip: Trip) -> None:
    """A11, I10: the prepared commit takes its place, and a notice says so."""
    repo.write(trip.top, "README", b"changed on the host\n")
    trip.prepare()
    repo.write(trip.work, "new", b"made in the guest\n")
    shutil.rmtree(trip.bases)
    patch = trip.export()
    assert b"+made in the guest" in patch and b"+changed on the host" in patch
    assert trip.notices[0].startswith("The host no longer has the base of this workspace")
    exported = export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "show", "b:new") == b"made in the guest\n"
    assert exported.notices[0] == trip.notices[0]
