"""What is in the guest's work tree comes back, or is named, whatever the guest's git is set to."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.errors import ExportTooLarge, GuestRefused, WorkspaceNotFound
from banger.workspace import gathering
from tests.component.workspace.conftest import Trip
from tests.component.workspace.test_branch import export_to
from tests.component.workspace.test_export import apply, prepare, reproduces
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest


def same(trip: Trip) -> None:
    """Check that applying the export to the host's tree gives the guest's."""
    assert repo.snapshot(apply(trip, trip.export())) == repo.snapshot(trip.work)


# --- repositories within ---------------------------------------------------------


def make_nested(trip: Trip, *, commits: bool) -> None:
    repo.write(trip.work / "app", "src/main.rs", b"fn main() {}\n")
    repo.init(trip.work / "app")
    if commits:
        repo.commit(trip.work / "app")


@pytest.mark.parametrize("commits", [True, False])
def test_a_repository_made_in_the_guest_comes_back_as_files(trip: Trip, commits: bool) -> None:
    prepare(trip)
    make_nested(trip, commits=commits)
    same(trip)
    (notice,) = trip.notices
    assert notice.endswith("exported without their history: app.")
    exported = export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "show", "b:app/src/main.rs") == b"fn main() {}\n"
    assert exported.notices == (notice,)


def test_a_gitlink_that_the_guest_committed_is_no_obstacle(trip: Trip) -> None:
    prepare(trip)
    make_nested(trip, commits=True)
    repo.commit(trip.work)
    assert repo.git(trip.work, "ls-tree", "HEAD", "app").startswith(b"160000")
    same(trip)
    export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "show", "b:app/src/main.rs") == b"fn main() {}\n"


# --- changes that stat data hides ------------------------------------------------


def twins(trip: Trip) -> None:
    for name, content in (("a", b"one\n"), ("b", b"two\n")):
        repo.write(trip.top, name, content)
        os.utime(trip.top / name, (10**9, 10**9))
    repo.commit(trip.top)
    prepare(trip)
    assert repo.status(trip.work) == []


def swap(work: Path) -> None:
    (work / "a").rename(work / "t")
    (work / "b").rename(work / "a")
    (work / "t").rename(work / "b")


def copy_over(work: Path) -> None:
    subprocess.run(["cp", "-p", "b", "a"], cwd=work, check=True)


def move_over(work: Path) -> None:
    subprocess.run(["cp", "-p", "b", "c"], cwd=work, check=True)
    (work / "c").rename(work / "a")


@pytest.mark.parametrize("change", [swap, copy_over, move_over])
def test_a_change_of_the_same_size_and_time_is_seen(
    trip: Trip, change: Callable[[Path], None]
) -> None:
    """By the export, and by git in the guest."""
    twins(trip)
    change(trip.work)
    assert b"+two" in reproduces(trip)
    if change is not copy_over:  # git looks at whole seconds of the change time
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
    prepare(trip)
    listed = repo.git(trip.work, "ls-files", "--debug").decode().splitlines()
    names = [line for line in listed if not line.startswith(" ")]
    inodes = [int(line.split("ino: ")[1]) for line in listed if "ino: " in line]
    assert len(names) == 23
    assert inodes == [(trip.work / name).lstat().st_ino for name in names]
    assert repo.git(trip.work, "-c", "core.trustctime=true", "diff-files") == b""


# --- what the guest's git is set to ------------------------------------------------


def convert_line_ends(work: Path) -> None:
    repo.git(work, "config", "core.autocrlf", "true")
    (work / "README").write_bytes(b"read me\r\nand more\r\n")


def filter_content(work: Path) -> None:
    repo.git(work, "config", "filter.x.clean", "tr a-z A-Z")
    repo.write(work, ".gitattributes", b"README filter=x\n")
    (work / "README").write_bytes(b"filtered\n")


def ignore_modes(work: Path) -> None:
    repo.git(work, "config", "core.fileMode", "false")
    (work / "README").chmod(0o755)


def assume_unchanged(work: Path) -> None:
    repo.git(work, "update-index", "--assume-unchanged", "README")
    (work / "README").write_bytes(b"changed\n")


def skip_in_work_tree(work: Path) -> None:
    repo.git(work, "update-index", "--skip-worktree", "README")
    (work / "README").write_bytes(b"changed\n")


def exclude_everything(work: Path) -> None:
    repo.write(work, ".git/info/exclude", b"*\n")
    repo.write(work, "new", b"new\n")


def exclude_globally(work: Path) -> None:
    repo.git(work, "config", "core.excludesFile", "/tmp/x")
    (work / "README").write_bytes(b"changed\n")


def encode(work: Path) -> None:
    repo.write(work, ".gitattributes", b"README working-tree-encoding=UTF-16\n")
    (work / "README").write_bytes("read me\n".encode("utf-16"))


def no_git_dir(work: Path) -> None:
    shutil.rmtree(work / ".git")
    (work / "README").write_bytes(b"changed\n")


def new_git_dir(work: Path) -> None:
    no_git_dir(work)
    repo.commit(repo.init(work))


def broken_index(work: Path) -> None:
    (work / ".git/index").write_bytes(b"garbage")
    (work / "README").unlink()


@pytest.mark.parametrize(
    "change",
    [
        convert_line_ends,
        filter_content,
        ignore_modes,
        assume_unchanged,
        skip_in_work_tree,
        exclude_everything,
        exclude_globally,
        encode,
        no_git_dir,
        new_git_dir,
        broken_index,
    ],
)
def test_what_the_guests_git_is_set_to_does_not_matter(
    trip: Trip, change: Callable[[Path], None]
) -> None:
    prepare(trip)
    change(trip.work)
    assert reproduces(trip) != b""
    assert trip.notices == []


def test_a_sparse_checkout_in_the_guest_removes_nothing(trip: Trip) -> None:
    prepare(trip)
    repo.git(trip.work, "sparse-checkout", "set", "--no-cone", "/README")
    assert not (trip.work / "src").exists()
    assert trip.export() == b""
    (trip.work / "README").write_bytes(b"changed\n")
    assert trip.export().count(b"diff --git") == 1
    exported = export_to(trip, "b", include_uncommitted=True)
    assert exported.files == 1


def test_an_ignored_file_that_the_guest_tracks_comes_back(trip: Trip) -> None:
    repo.write(trip.top, ".gitignore", b"*.o\nout/\n")
    repo.commit(trip.top)
    prepare(trip)
    for name in ("kept.o", "out/kept", "lost.o", "out/lost"):
        repo.write(trip.work, name, b"x\n")
    repo.git(trip.work, "add", "--force", "kept.o", "out/kept")
    patch = trip.export()
    assert b"b/kept.o" in patch and b"b/out/kept" in patch and b"lost" not in patch


def test_a_stash_is_named(trip: Trip) -> None:
    prepare(trip)
    repo.write(trip.work, "README", b"stashed\n")
    repo.git(trip.work, "stash")
    assert trip.export() == b""
    assert trip.notices == ["The guest has a stash, which was not exported."]
    repo.git(trip.work, "pack-refs", "--all")
    trip.export()
    assert len(trip.notices) == 1


def test_what_git_cannot_hold_is_named(trip: Trip) -> None:
    prepare(trip)
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
    prepare(trip)
    os.mkdir(os.path.join(os.fsencode(trip.work), b"\x1b[31m\xff"))
    trip.export()
    assert trip.notices == ["Empty directories, which git cannot store: \\x1b[31m\\xff."]


# --- a guest in trouble ------------------------------------------------------------


class WithoutPrograms(LocalGuest):
    """A guest in which nothing can be run."""

    async def run(self, *_: object, **__: object) -> None:  # type: ignore[override]
        raise GuestRefused("no such program")

    def open_output(self, *_: object, **__: object) -> None:  # type: ignore[override]
        raise GuestRefused("no such program")


def test_a_guest_without_any_program_can_export(trip: Trip) -> None:
    prepare(trip)
    (trip.work / "README").unlink()
    repo.write(trip.work, "new", b"x\n")
    guest = WithoutPrograms(trip.guest.home)
    assert trip.export(guest).count(b"diff --git") == 2


@pytest.mark.parametrize("change", [no_git_dir, new_git_dir])
def test_a_branch_without_the_guests_git_directory(
    trip: Trip, change: Callable[[Path], None]
) -> None:
    """Its files become one commit on the prepared one, if that is asked for."""
    prepare(trip)
    change(trip.work)
    with pytest.raises(WorkspaceNotFound, match="no longer has"):
        export_to(trip, "b")
    exported = export_to(trip, "b", include_uncommitted=True)
    assert (exported.commits, exported.files) == (1, 1)
    assert repo.git(trip.top, "show", "b:README") == b"changed\n"


def test_a_file_that_is_too_large_is_named(trip: Trip) -> None:
    """E2: before its bytes come."""
    prepare(trip)
    with open(trip.work / "huge", "wb") as file:
        os.truncate(file.fileno(), gathering.FILE_BYTES_MAX + 1)
    with pytest.raises(ExportTooLarge, match="'huge'"):
        trip.export()


# --- branches ------------------------------------------------------------------------


def test_a_branch_may_be_named_by_its_reference(trip: Trip) -> None:
    prepare(trip)
    assert export_to(trip, "refs/heads/z").branch == "z"
    assert repo.git(trip.top, "branch", "--list", "z") and not repo.git(
        trip.top, "for-each-ref", "refs/heads/refs"
    )


def test_an_export_with_what_is_not_committed_can_be_repeated(trip: Trip) -> None:
    prepare(trip)
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
    prepare(trip)
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
    prepare(trip)
    repo.write(trip.work, "dos.txt", b"one\r\ntwo\r\nthree\r\n")
    repo.write(trip.work, "new.txt", b"new\r\n")
    export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "show", "b:dos.txt") == b"one\ntwo\nthree\n"
    assert repo.git(trip.top, "show", "b:new.txt") == b"new\n"
    assert repo.git(trip.top, "diff", "--name-only", "main", "b") == b"dos.txt\nnew.txt\n"


def test_the_hosts_own_changes_are_part_of_a_branch(trip: Trip) -> None:
    repo.write(trip.top, "README", b"of the host\n")
    prepare(trip)
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
    prepare(trip)
    (trip.work / "removed").unlink()
    repo.write(trip.work, "kept", b"changed\n")
    same(trip)
    export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "ls-tree", "--name-only", "b") == b"kept\n"


def test_a_base_that_is_gone_costs_no_work(trip: Trip) -> None:
    """A11, I10: the prepared commit takes its place, and a notice says so."""
    repo.write(trip.top, "README", b"changed on the host\n")
    prepare(trip)
    repo.write(trip.work, "new", b"made in the guest\n")
    shutil.rmtree(trip.bases)
    patch = trip.export()
    assert b"+made in the guest" in patch and b"+changed on the host" in patch
    assert trip.notices[0].startswith("The host no longer has the base of this workspace")
    exported = export_to(trip, "b", include_uncommitted=True)
    assert repo.git(trip.top, "show", "b:new") == b"made in the guest\n"
    assert exported.notices[0] == trip.notices[0]
