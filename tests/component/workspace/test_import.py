"""Prepare: what arrives in the guest is what `git status` on the host speaks of."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterable, Sequence
from pathlib import Path

import pytest

from banger.errors import (
    BranchConflict,
    DeadlineExceeded,
    GuestGone,
    GuestPathTaken,
    InvalidRequest,
    RepositoryRefused,
)
from banger.guest import Completed
from banger.workspace import import_workspace, plan_import
from tests.component.workspace.conftest import DEADLINE_S, Trip
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest
from tests.support.sampling import choose_size


def same(trip: Trip) -> None:
    """Check that files and status agree on both sides, untracked files apart."""
    said = [line for line in repo.status(trip.top) if not line.startswith(b"??")]
    assert repo.status(trip.work) == said
    untracked = {line[3:] for line in repo.status(trip.top) if line.startswith(b"??")}
    theirs = repo.snapshot(trip.work)
    for name, content in repo.snapshot(trip.top).items():
        if name not in untracked and not repo.git(
            trip.top, "check-ignore", b"--", name, check=False
        ):
            assert theirs.pop(name) == content, name
    assert theirs == {}
    repo.git(trip.work, "fsck", "--full", "--strict")


def test_a_clean_repository(trip: Trip) -> None:
    repo.write(trip.top, "README", b"second\n")
    commit = repo.commit(trip.top, "second")
    repo.git(trip.top, "remote", "add", "origin", "https://user:secret@example.com/a.git")
    prepared = trip.prepare()
    same(trip)
    assert (prepared.commit, prepared.branch, prepared.files) == (commit, "main", 2)
    assert repo.git(trip.work, "log", "--format=%H %s") == f"{commit} second\n".encode()
    assert repo.git(trip.work, "rev-parse", "--is-shallow-repository") == b"true\n"
    assert repo.git(trip.work, "symbolic-ref", "HEAD") == b"refs/heads/main\n"
    assert repo.git(trip.work, "config", "user.email") == b"repo@example.com\n"
    assert repo.git(trip.work, "config", "remote.origin.url") == b"https://example.com/a.git\n"


def test_the_default_path_is_the_repositorys_name(trip: Trip) -> None:
    assert plan_import(trip.inspect()).guest_path == "/root/project"


def test_a_root_commit_is_not_made_shallow(trip: Trip) -> None:
    trip.prepare()
    assert repo.git(trip.work, "rev-parse", "--is-shallow-repository") == b"false\n"


def test_every_kind_of_change_arrives_as_it_is(trip: Trip) -> None:
    """Staged, modified, deleted, renamed, mode and type changes, staged and changed again."""
    for name in ("mod", "staged", "both", "gone", "staged-gone", "mode", "type", "old-name"):
        repo.write(trip.top, name, f"{name}\n".encode())
    repo.commit(trip.top)
    repo.write(trip.top, "mod", b"changed\n")
    repo.write(trip.top, "staged", b"staged\n")
    repo.write(trip.top, "both", b"staged first\n")
    repo.write(trip.top, "new", b"staged, in no commit\n")
    repo.git(trip.top, "add", "staged", "both", "new")
    repo.write(trip.top, "both", b"and changed after\n")
    (trip.top / "gone").unlink()
    repo.git(trip.top, "rm", "--quiet", "staged-gone")
    (trip.top / "mode").chmod(0o755)
    (trip.top / "type").unlink()
    (trip.top / "type").symlink_to("mode")
    repo.git(trip.top, "mv", "old-name", "new-name")
    repo.write(trip.top, "intended", b"not yet\n")
    repo.git(trip.top, "add", "--intent-to-add", "intended")
    trip.prepare()
    same(trip)
    assert repo.git(trip.work, "show", ":both") == b"staged first\n"
    assert repo.git(trip.work, "show", ":new") == b"staged, in no commit\n"


def test_untracked_and_ignored_files_stay_on_the_host(trip: Trip) -> None:
    """A5: `.env`, notes and keys reach the guest only if they are asked for."""
    repo.write(trip.top, ".gitignore", b"*.log\n")
    repo.commit(trip.top)
    for name in (".env", "notes/a b", "x.log"):
        repo.write(trip.top, name, b"secret\n")
    prepared = trip.prepare()
    assert prepared.untracked_left_out == 2
    assert any("Untracked files not copied: 2" in notice for notice in prepared.notices)
    assert not any((trip.work / name).exists() for name in (".env", "notes", "x.log"))
    same(trip)


def test_untracked_files_arrive_when_asked_for_and_ignored_ones_never(trip: Trip) -> None:
    """A5."""
    repo.write(trip.top, ".gitignore", b"*.log\n")
    repo.commit(trip.top)
    for name in (b".env", b"notes/a b", b"caf\xe9\n", b"x.log", b"notes/y.log"):
        repo.write(trip.top, name, b"secret\n")
    prepared = trip.prepare(include_untracked=True)
    assert prepared.untracked_left_out == 0
    assert (
        repo.status(trip.work)
        == repo.status(trip.top)
        == [b"?? .env", b"?? caf\xe9\n", b"?? notes/a b"]
    )
    assert not list(trip.work.rglob("*.log"))


def test_the_users_own_ignore_patterns_hold_in_the_guest(
    tmp_path: Path, trip: Trip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (trip.top / ".git/info/exclude").write_text("!kept.mine\n")
    (tmp_path / "ignore").write_text("*.mine")
    repo.git(trip.top, "config", "core.excludesFile", "~/ignore")
    repo.write(trip.top, "a.mine")
    repo.write(trip.top, "kept.mine")
    facts = trip.inspect(include_untracked=True)
    assert facts.untracked == (b"kept.mine",)
    trip.prepare()
    repo.write(trip.work, "b.mine")
    repo.write(trip.work, "kept.mine")
    assert repo.status(trip.work) == [b"?? kept.mine"]


def test_a_dry_run_lists_what_would_be_sent(trip: Trip) -> None:
    repo.write(trip.top, "README", b"longer than before\n")
    repo.write(trip.top, "loose")
    plan = plan_import(trip.inspect(), "/work/x/")
    assert [file.name for file in plan.files] == [b"README", b"src/main.py"]
    assert plan.guest_path == "/work/x"
    assert plan.bytes == len(b"longer than before\n") + len(b"print('hello')\n")
    assert plan.untracked_left_out == 1
    assert trip.guest.commands == []


@pytest.mark.parametrize("path", ["relative", "", "/", "//", "/a/../b", "/nul\0"])
def test_odd_guest_paths_are_refused(trip: Trip, path: str) -> None:
    with pytest.raises(InvalidRequest):
        plan_import(trip.inspect(), path)


def test_the_first_status_in_the_guest_reads_no_file(trip: Trip) -> None:
    """The copied index is valid as it is: nothing is hashed, nothing needs to be written."""
    for name in ("README", "src/main.py"):
        os.utime(trip.top / name, (1_700_000_000, 1_700_000_000))
    repo.git(trip.top, "add", "--update")
    repo.git(trip.top, "update-index", "--refresh")
    trip.prepare()
    changed_s = int((trip.work / "README").stat().st_ctime)
    assert b"  ctime: %d:" % changed_s in repo.git(trip.work, "ls-files", "--debug", "README")
    # Unreadable, which is another change and maybe in another second.
    (trip.work / "README").chmod(0)
    repo.git(trip.work, "config", "core.trustctime", "false")
    repo.git(trip.work, "config", "core.fileMode", "false")
    assert repo.status(trip.work) == []


def test_a_change_in_the_guest_is_seen(trip: Trip) -> None:
    """Racily clean entries: the same size, written right after the import."""
    trip.prepare()
    for content in (b"READ me\n", b"read ME\n"):
        repo.write(trip.work, "README", content)
        assert repo.status(trip.work) == [b" M README"]


def test_a_racily_clean_entry_of_the_host_is_seen(trip: Trip) -> None:
    """A change in the same second as the host's index was written, of the same size."""
    for _ in range(5):
        repo.write(trip.top, "README", b"aaaa\n")
        repo.git(trip.top, "add", "README")
        repo.write(trip.top, "README", b"bbbb\n")
        index = trip.top / ".git/index"
        os.utime(trip.top / "README", ns=(0, index.stat().st_mtime_ns))
        trip.prepare()
        assert repo.git(trip.work, "diff", "--name-only") == b"README\n"


# --- states of a repository (F4) ---------------------------------------------


def test_detached_head(trip: Trip) -> None:
    repo.git(trip.top, "checkout", "--quiet", "--detach")
    assert trip.prepare().branch is None
    same(trip)
    assert repo.git(trip.work, "symbolic-ref", "-q", "HEAD", check=False) == b""


def test_branch_names_with_slashes_and_bytes(trip: Trip) -> None:
    repo.git(trip.top, "switch", "--quiet", "-c", "feature/gr\u00fcn+x")
    trip.prepare()
    assert repo.git(trip.work, "branch", "--show-current") == "feature/gr\u00fcn+x\n".encode()


def test_an_unborn_head_is_refused(tmp_path: Path, trip: Trip) -> None:
    trip.top = repo.init(tmp_path / "empty")
    with pytest.raises(RepositoryRefused, match="no commit yet") as caught:
        trip.inspect()
    assert caught.value.hint and "commit" in caught.value.hint


def test_an_empty_commit(tmp_path: Path, trip: Trip) -> None:
    trip.top = repo.init(tmp_path / "empty")
    repo.commit(trip.top)
    assert trip.prepare().files == 0
    same(trip)


def test_a_shallow_clone(tmp_path: Path, trip: Trip) -> None:
    repo.write(trip.top, "README", b"two\n")
    repo.commit(trip.top)
    repo.git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{trip.top}", "shallow")
    trip.top = tmp_path / "shallow"
    trip.prepare()
    same(trip)


def test_a_linked_work_tree(tmp_path: Path, trip: Trip) -> None:
    repo.git(trip.top, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    repo.write(trip.top, "README", b"only in the main one\n")
    trip.top = tmp_path / "side"
    repo.write(trip.top, "README", b"only in the side one\n")
    assert trip.prepare().branch == "side"
    same(trip)


def test_conflicts_in_the_index_are_carried(trip: Trip) -> None:
    repo.git(trip.top, "switch", "--quiet", "-c", "other")
    repo.write(trip.top, "README", b"theirs\n")
    repo.commit(trip.top)
    repo.git(trip.top, "switch", "--quiet", "main")
    repo.write(trip.top, "README", b"ours\n")
    repo.commit(trip.top)
    repo.git(trip.top, "merge", "other", check=False)
    assert repo.status(trip.top) == [b"UU README"]
    prepared = trip.prepare()
    same(trip)
    assert any("conflicts" in notice for notice in prepared.notices)
    assert repo.git(trip.work, "show", ":3:README") == b"theirs\n"


def test_submodules_are_empty_directories(tmp_path: Path, trip: Trip) -> None:
    trip.top = tmp_path / "sub"
    repo.make_repository(trip.top, files=40, total_mib=1)
    prepared = trip.prepare()
    assert list((trip.work / "vendor/sub").iterdir()) == []
    assert repo.status(trip.work) == repo.status(trip.top) == []
    assert any("Submodules" in notice for notice in prepared.notices)


@pytest.mark.parametrize("cone", ["--cone", "--no-cone"])
def test_a_sparse_checkout(trip: Trip, cone: str) -> None:
    repo.write(trip.top, "docs/page", b"page\n")
    repo.commit(trip.top)
    repo.git(trip.top, "sparse-checkout", "set", cone, "src")
    assert not (trip.top / "docs").exists()
    trip.prepare()
    same(trip)
    repo.git(trip.work, "sparse-checkout", "disable")
    assert (trip.work / "docs/page").read_bytes() == b"page\n"


def test_a_sparse_index(trip: Trip) -> None:
    repo.write(trip.top, "docs/page", b"page\n")
    repo.commit(trip.top)
    repo.git(trip.top, "sparse-checkout", "set", "--cone", "--sparse-index", "src")
    trip.prepare()
    same(trip)


def test_a_split_index(trip: Trip) -> None:
    repo.git(trip.top, "update-index", "--split-index")
    repo.write(trip.top, "README", b"staged\n")
    repo.git(trip.top, "add", "README")
    trip.prepare()
    same(trip)


def test_a_sha256_repository(tmp_path: Path, trip: Trip) -> None:
    trip.top = tmp_path / "sha256"
    trip.top.mkdir()
    repo.git(trip.top, "init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    repo.write(trip.top, "a", b"a\n")
    assert len(repo.commit(trip.top)) == 64
    trip.prepare()
    same(trip)


def test_lfs_files_stay_as_they_are(trip: Trip) -> None:
    """Without the filter's program on either side: pointers, or what was checked out."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    repo.write(trip.top, ".gitattributes", b"*.big filter=lfs diff=lfs merge=lfs -text\n")
    repo.write(trip.top, "pointer.big", pointer)
    repo.commit(trip.top)
    trip.prepare()
    same(trip)


def test_line_endings_agree(trip: Trip) -> None:
    repo.git(trip.top, "config", "core.autocrlf", "true")
    repo.write(trip.top, ".gitattributes", b"*.crlf text eol=crlf\n")
    repo.write(trip.top, "dos.txt", b"one\r\ntwo\r\n")
    repo.write(trip.top, "a.crlf", b"one\r\n")
    repo.commit(trip.top)
    trip.prepare()
    same(trip)
    # Not by stat data alone: contents, too.
    for path in trip.work.iterdir():
        os.utime(path)
    assert repo.status(trip.work) == []


def test_a_repository_that_ignores_modes(trip: Trip) -> None:
    repo.git(trip.top, "config", "core.fileMode", "false")
    (trip.top / "README").chmod(0o777)
    trip.prepare()
    same(trip)


def test_assume_unchanged_is_kept(trip: Trip) -> None:
    repo.git(trip.top, "update-index", "--assume-unchanged", "README")
    repo.write(trip.top, "README", b"local only\n")
    trip.prepare()
    assert repo.status(trip.work) == []
    assert (trip.work / "README").read_bytes() == b"local only\n"


def test_pipes_and_repositories_within_are_left_out(trip: Trip) -> None:
    (trip.top / "README").unlink()
    os.mkfifo(trip.top / "README")
    repo.commit(repo.init(trip.top / "nested"))
    prepared = trip.prepare(include_untracked=True)
    assert not (trip.work / "README").exists() and not (trip.work / "nested").exists()
    assert any("cannot be copied" in notice for notice in prepared.notices)


def test_an_unreadable_file_is_named(trip: Trip) -> None:
    (trip.top / "README").chmod(0)
    with pytest.raises(RepositoryRefused, match="README"):
        trip.prepare()
    assert not trip.work.exists()


def test_a_missing_object_is_refused(trip: Trip) -> None:
    blob = repo.git(trip.top, "rev-parse", "HEAD:README").decode().strip()
    (trip.top / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(RepositoryRefused, match="cannot be read"):
        trip.prepare()
    assert not trip.work.exists()


def test_a_partial_clone_is_refused_before_anything_exists(tmp_path: Path, trip: Trip) -> None:
    repo.git(trip.top, "config", "uploadpack.allowFilter", "true")
    source = f"file://{trip.top}"
    repo.git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", source, "partial")
    trip.top = tmp_path / "partial"
    with pytest.raises(RepositoryRefused, match="partial clone"):
        trip.inspect()


def test_many_files(trip: Trip) -> None:
    """F4: 100,000 files, in a full run."""
    directories = choose_size(15, 100)
    for directory in range(directories):
        (trip.top / f"d{directory}").mkdir()
        for number in range(1000):
            (trip.top / f"d{directory}/f{number}").write_bytes(b"%d\n" % (number % 10))
    repo.commit(trip.top)
    assert trip.prepare().files == directories * 1000 + 2
    assert repo.status(trip.work) == []


# --- another commit ------------------------------------------------------------


def test_a_new_branch_carries_changes(trip: Trip) -> None:
    repo.write(trip.top, "README", b"changed\n")
    assert trip.prepare(branch="topic").branch == "topic"
    same(trip)
    assert repo.git(trip.work, "branch", "--show-current") == b"topic\n"
    assert repo.git(trip.top, "branch", "--list", "topic") == b""


def test_a_new_branch_from_another_commit(tmp_path: Path, trip: Trip) -> None:
    trip.top = tmp_path / "big"
    first = repo.make_repository(trip.top, files=60, total_mib=1)
    expected = repo.snapshot(trip.top)
    repo.git(trip.top, "rm", "-q", "-r", "src", "twin")
    repo.write(trip.top, "README", b"later\n")
    repo.commit(trip.top)
    repo.write(trip.top, "untracked", b"mine\n")
    prepared = trip.prepare(branch="topic", from_ref="HEAD~1", include_untracked=True)
    assert prepared.commit == first
    expected.pop(b"vendor/sub/inside")
    assert repo.snapshot(trip.work) == expected | {b"untracked": ("-", b"mine\n")}
    assert repo.status(trip.work) == [b"?? untracked"]
    assert repo.status(trip.top) == [b"?? untracked"]
    repo.git(trip.work, "fsck", "--full")


def test_another_commit_refuses_changes_and_collisions(trip: Trip) -> None:
    repo.git(trip.top, "rm", "--quiet", "README")
    repo.commit(trip.top)
    repo.write(trip.top, "README", b"untracked now\n")
    with pytest.raises(RepositoryRefused, match="conflicts with a file"):
        trip.inspect(branch="b", from_ref="HEAD~1", include_untracked=True)
    trip.inspect(branch="b", from_ref="HEAD~1")
    repo.write(trip.top, "src/main.py", b"changed\n")
    with pytest.raises(RepositoryRefused, match="have changes"):
        trip.inspect(branch="b", from_ref="HEAD~1")


@pytest.mark.parametrize("branch", ["", "-x", "a..b", "a b", "HEAD", "x.lock", "nul\0"])
def test_bad_branch_names_are_refused(trip: Trip, branch: str) -> None:
    with pytest.raises(InvalidRequest):
        trip.inspect(branch=branch)


@pytest.mark.parametrize("ref", ["", "nowhere", "--all", "HEAD:README", "nul\0"])
def test_refs_that_name_no_commit_are_refused(trip: Trip, ref: str) -> None:
    with pytest.raises(InvalidRequest):
        trip.inspect(branch="b", from_ref=ref)


def test_an_existing_branch_is_refused(trip: Trip) -> None:
    with pytest.raises(BranchConflict):
        trip.inspect(branch="main")
    with pytest.raises(InvalidRequest, match="--branch"):
        trip.inspect(from_ref="HEAD")


# --- whole or absent -------------------------------------------------------------


class BrokenGuest(LocalGuest):
    """A guest that goes away after the first bytes of an import."""

    async def tar_in(
        self, path: str, chunks: AsyncIterable[bytes], *, empty_first: bool, deadline_s: float
    ) -> None:
        os.makedirs(path)
        async for _ in chunks:
            raise GuestGone("The guest is gone.")


class SilentGuest(LocalGuest):
    """A guest that takes bytes and never answers."""

    async def tar_in(
        self, path: str, chunks: AsyncIterable[bytes], *, empty_first: bool, deadline_s: float
    ) -> None:
        os.makedirs(path)
        async for _ in chunks:
            await asyncio.Event().wait()


def test_a_failed_import_leaves_nothing_and_can_be_repeated(trip: Trip) -> None:
    good = trip.guest
    trip.guest = BrokenGuest(good.home)
    with pytest.raises(GuestGone):
        trip.prepare()
    assert list(trip.work.parent.iterdir()) == [] and list(trip.scratch.iterdir()) == []
    trip.guest = good
    trip.prepare()
    same(trip)


def test_a_stalled_import_ends_at_its_deadline(trip: Trip) -> None:
    plan = plan_import(trip.inspect(), str(trip.work))
    with pytest.raises(DeadlineExceeded, match="did not finish within"):
        asyncio.run(
            import_workspace(
                SilentGuest(trip.guest.home),
                plan,
                deadline_s=1.0,
                bases=trip.bases,
                scratch=trip.scratch,
            )
        )
    assert list(trip.work.parent.iterdir()) == [] and list(trip.scratch.iterdir()) == []


def test_what_a_killed_import_left_is_no_obstacle(trip: Trip) -> None:
    left = trip.work.parent / ".project.banger-import"
    repo.write(left, "half/made", b"x")
    trip.prepare()
    same(trip)
    assert not left.exists()


def test_a_second_prepare_moves_the_first_aside(trip: Trip) -> None:
    trip.prepare()
    repo.write(trip.work, "unexported", b"work\n")
    repo.write(trip.top, "README", b"newer\n")
    prepared = trip.prepare()
    same(trip)
    aside = trip.work.parent / ".project.banger-previous"
    assert (aside / "unexported").read_bytes() == b"work\n"
    assert any(str(aside) in notice for notice in prepared.notices)
    trip.prepare()
    assert not (aside / "unexported").exists()


def test_deleting_an_old_workspace_has_the_time_of_the_import(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 50,000 files in an emulated guest it takes longer than any single command may."""
    allowed: list[float] = []
    run = LocalGuest.run

    async def note(guest: LocalGuest, argv: Sequence[str], *, deadline_s: float) -> Completed:
        if "rm -rf" in argv[2]:
            allowed.append(deadline_s)
        return await run(guest, argv, deadline_s=deadline_s)

    monkeypatch.setattr(LocalGuest, "run", note)
    trip.prepare()
    assert allowed == [DEADLINE_S]


@pytest.mark.parametrize("kind", ["directory", "file", "link", "repository"])
def test_what_is_not_ours_is_never_replaced(trip: Trip, kind: str) -> None:
    """A6."""
    trip.work.parent.mkdir(parents=True)
    match kind:
        case "directory":
            repo.write(trip.work, "precious", b"x")
        case "file":
            trip.work.write_text("x")
        case "link":
            trip.work.symlink_to(trip.scratch)
        case _:
            repo.init(trip.work)
    with pytest.raises(GuestPathTaken):
        trip.prepare()
    assert os.path.lexists(trip.work)
    assert [path.name for path in trip.work.parent.iterdir()] == ["project"]


def test_an_empty_directory_becomes_the_workspace(trip: Trip) -> None:
    trip.work.mkdir(parents=True)
    trip.prepare()
    same(trip)


def test_guest_paths_are_arguments(trip: Trip, tmp_path: Path) -> None:
    """G2: nothing in a path is read by a shell."""
    trip.work = tmp_path / "guest" / "$(touch pwned) 'x' \"; touch pwned; #"
    trip.prepare()
    same(trip)
    trip.prepare()
    repo.write(trip.work, "new", b"x\n")
    assert b"new" in trip.export()
    assert not list(tmp_path.rglob("pwned"))


def test_the_guest_needs_no_git(trip: Trip, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "ls", "mkdir", "mv", "rm", "rmdir"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    trip.guest = LocalGuest(trip.guest.home, path=str(tools))
    trip.prepare()
    same(trip)


def test_progress_is_told(trip: Trip) -> None:
    repo.write(trip.top, "big", os.urandom(3 * 1024 * 1024))
    repo.commit(trip.top)
    told: list[tuple[str, int, int]] = []
    plan = plan_import(trip.inspect(), str(trip.work))
    asyncio.run(
        import_workspace(
            trip.guest,
            plan,
            deadline_s=60,
            bases=trip.bases,
            scratch=trip.scratch,
            progress=lambda *news: told.append(news),
        )
    )
    assert told[-1] == ("workspace", plan.bytes, plan.bytes)
    assert len({done for _, done, _ in told}) > 1


def test_the_host_repository_is_not_changed(trip: Trip) -> None:
    def look() -> bytes:
        return subprocess.run(
            ["find", trip.top, "-printf", "%p %T@ %s\n"], capture_output=True, check=True
        ).stdout

    repo.write(trip.top, "README", b"x\n")
    repo.git(trip.top, "add", "README")
    before = look()
    trip.prepare()
    trip.inspect(branch="b", from_ref="HEAD")
    assert look() == before


def test_what_setup_made_goes_where_the_repository_has_nothing(trip: Trip) -> None:
    """Of both, the repository's is kept; a link is moved as such and never gone into."""
    repo.write(trip.top, "web/package.json", b"{}\n")
    repo.write(trip.top, "linked/file", b"host\n")
    repo.commit(trip.top)
    aside = trip.work.parent / f".{trip.work.name}.banger-setup"
    outside = trip.work.parent / "outside"
    for name in (".venv/bin", "web/node_modules/.bin", "README", ".git"):
        (aside / name).mkdir(parents=True)
    outside.mkdir()
    (aside / "web/package.json").write_text("theirs")
    (aside / "web/node_modules/a name").write_text("a")
    (aside / ".git/config").write_text("theirs")
    (aside / "linked").symlink_to(outside)
    (aside / "to-nowhere").symlink_to("/no/such/file")
    trip.prepare()
    assert (trip.work / ".venv/bin").is_dir()
    assert (trip.work / "web/node_modules/a name").read_text() == "a"
    assert (trip.work / "web/node_modules/.bin").is_dir()
    assert (trip.work / "web/package.json").read_text() == "{}\n"
    assert (trip.work / "linked/file").read_text() == "host\n"
    assert (trip.work / "to-nowhere").is_symlink()
    assert (trip.work / "README").is_file()
    assert (trip.work / ".git/config").read_text() != "theirs"
    assert list(outside.iterdir()) == []
    assert not aside.exists()
    assert {line[:2] for line in repo.status(trip.work)} <= {b"??"}
    trip.prepare()
