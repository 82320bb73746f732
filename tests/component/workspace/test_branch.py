"""`export --branch`: the guest's commits become a branch, and nothing else changes."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from banger.errors import (
    BangerError,
    BranchConflict,
    DeadlineExceeded,
    GuestProtocolError,
    InvalidRequest,
    UnsafeBranch,
    WorkspaceNotFound,
)
from banger.guest import Completed, GuestFiles, GuestOutput
from banger.model.entries import GuestEntry
from banger.workspace import ExportedBranch, export_branch, export_patch, guestcommits
from tests.component.workspace.conftest import DEADLINE_S, Trip
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest


def export_to(
    trip: Trip,
    branch: str,
    guest: GuestFiles | None = None,
    *,
    include_uncommitted: bool = False,
    fresh: bool = False,
) -> ExportedBranch:
    exported = export_branch(
        guest or trip.guest,
        trip.record,
        branch=branch,
        include_uncommitted=include_uncommitted,
        fresh=fresh,
        deadline_s=DEADLINE_S,
        bases=trip.bases,
        scratch=trip.scratch,
    )
    try:
        return asyncio.run(exported)
    finally:
        assert list(trip.scratch.iterdir()) == []


def refs(top: Path) -> bytes:
    return repo.git(top, "for-each-ref") + repo.git(top, "rev-parse", "HEAD")


def work(trip: Trip, content: bytes = b"from the guest\n") -> str:
    repo.write(trip.work, "README", content)
    return repo.commit(trip.work, "in the guest")


def test_the_commits_arrive_and_the_work_tree_stays(trip: Trip) -> None:
    """A3, A4: for branches."""
    repo.write(trip.top, "README", b"mine, not committed\n")
    trip.prepare()
    work(trip)
    commit = work(trip, b"again\n")
    repo.write(trip.work, "loose", b"not committed\n")
    before, tree = repo.status(trip.top), repo.snapshot(trip.top)
    index = (trip.top / ".git/index").read_bytes()
    exported = export_to(trip, "from-guest")
    assert exported == ExportedBranch("from-guest", commit, commits=2, files=1, uncommitted=1)
    assert repo.git(trip.top, "rev-parse", "from-guest").decode().strip() == commit
    assert repo.git(trip.top, "show", "from-guest:README") == b"again\n"
    assert (repo.status(trip.top), repo.snapshot(trip.top)) == (before, tree)
    assert (trip.top / ".git/index").read_bytes() == index
    repo.git(trip.top, "fsck", "--full", "--strict")


def test_a_branch_moves_forward_and_never_back(trip: Trip) -> None:
    trip.prepare()
    work(trip)
    export_to(trip, "from-guest")
    second = work(trip, b"more\n")
    assert export_to(trip, "from-guest").commit == second
    repo.git(trip.work, "commit", "--quiet", "--amend", "-m", "rewritten")
    with pytest.raises(BranchConflict, match="commits that the guest does not have"):
        export_to(trip, "from-guest")
    assert repo.git(trip.top, "rev-parse", "from-guest").decode().strip() == second


def test_nothing_committed_gives_the_prepared_commit(trip: Trip) -> None:
    trip.prepare()
    repo.write(trip.work, "README", b"not committed\n")
    exported = export_to(trip, "from-guest")
    assert (exported.commits, exported.uncommitted) == (0, 1)
    assert exported.commit == trip.record.commit


def test_a_branch_that_is_checked_out_is_refused(trip: Trip, tmp_path: Path) -> None:
    trip.prepare()
    work(trip)
    repo.git(trip.top, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    for branch in ("main", "side"):
        with pytest.raises(BranchConflict, match="checked out"):
            export_to(trip, branch)
    with pytest.raises(BranchConflict, match="could not be set"):
        export_to(trip, "main/below")


# --- what is not committed, and branches of their own -----------------------------


def change(trip: Trip) -> None:
    """Leave something of every kind lying about in the guest, after a commit."""
    work(trip)
    repo.write(trip.work, "README", b"staged\n")
    repo.git(trip.work, "add", "README")
    repo.write(trip.work, "README", b"and changed\n")
    (trip.work / "src/main.py").unlink()
    repo.write(trip.work, "new file", b"untracked\n", mode=0o755)
    repo.write(trip.work, ".gitignore", b"*.o\n")
    repo.write(trip.work, "built.o", b"ignored\n")


def test_what_is_not_committed_becomes_one_commit_on_top(trip: Trip) -> None:
    """A3, A4: and the guest's index, HEAD, references and objects are as they were."""
    trip.prepare()
    change(trip)
    head = repo.git(trip.work, "rev-parse", "HEAD").decode().strip()
    before, tree = refs(trip.work), repo.snapshot(trip.work)
    inside = repo.snapshot(trip.work / ".git")
    exported = export_to(trip, "from-guest", include_uncommitted=True)
    assert exported == ExportedBranch(
        "from-guest",
        exported.commit,
        commits=2,
        files=4,
        uncommitted=0,
        notices=("Empty directories, which git cannot store: src.",),
    )
    assert (refs(trip.work), repo.snapshot(trip.work)) == (before, tree)
    assert repo.snapshot(trip.work / ".git") == inside
    assert repo.git(trip.top, "rev-parse", "from-guest~1").decode().strip() == head
    changed = repo.git(trip.top, "diff", "--name-status", "main", "from-guest").split(b"\n")[:-1]
    assert changed == [b"A\t.gitignore", b"M\tREADME", b"A\tnew file", b"D\tsrc/main.py"]
    assert repo.git(trip.top, "show", "from-guest:README") == b"and changed\n"
    assert repo.git(trip.top, "ls-tree", "from-guest", "new file").startswith(b"100755 ")
    who = repo.git(trip.top, "log", "-1", "--format=%an <%ae> %cn <%ce>", "from-guest")
    assert who == b"banger <banger@localhost> banger <banger@localhost>\n"
    repo.git(trip.top, "fsck", "--full", "--strict")


def test_with_nothing_uncommitted_there_is_no_further_commit(trip: Trip) -> None:
    trip.prepare()
    commit = work(trip)
    exported = export_to(trip, "from-guest", include_uncommitted=True)
    assert exported == ExportedBranch("from-guest", commit, commits=1, files=1, uncommitted=0)


def test_a_fresh_branch_takes_the_next_free_name(trip: Trip) -> None:
    """A name that is a folder of branches is not free, nor is one that could be advanced."""
    trip.prepare()
    repo.git(trip.top, "branch", "keep/a")
    repo.git(trip.top, "branch", "keep/a-2/below")
    change(trip)
    exported = export_to(trip, "keep/a", include_uncommitted=True, fresh=True)
    assert exported.branch == "keep/a-3"
    assert repo.git(trip.top, "rev-parse", "keep/a-3").decode().strip() == exported.commit
    assert repo.git(trip.top, "rev-parse", "keep/a") == repo.git(trip.top, "rev-parse", "main")


def test_a_fresh_branch_is_not_made_of_nothing(trip: Trip) -> None:
    trip.prepare()
    before = refs(trip.top)
    exported = export_to(trip, "b", include_uncommitted=True, fresh=True)
    assert (exported.branch, exported.commits, exported.files) == (None, 0, 0)
    assert refs(trip.top) == before


def test_a_forbidden_name_that_is_not_committed_is_refused(trip: Trip) -> None:
    """E1: the extra commit is checked as every other one."""
    trip.prepare()
    repo.write(
        trip.work, ".gitmodules", b'[submodule "../../x"]\n\tpath = -x\n\turl = --upload-pack=x\n'
    )
    before = refs(trip.top)
    with pytest.raises(UnsafeBranch):
        export_to(trip, "b", include_uncommitted=True)
    assert refs(trip.top) == before


@pytest.mark.parametrize("branch", ["-x", "a..b", "HEAD", "../../hooks/x", "a\nb"])
def test_bad_names_are_refused(trip: Trip, branch: str) -> None:
    trip.prepare()
    with pytest.raises(InvalidRequest):
        export_to(trip, branch)


def test_it_works_for_shallow_and_old_branches(tmp_path: Path, trip: Trip) -> None:
    for content in (b"two\n", b"three\n"):
        repo.write(trip.top, "README", content)
        repo.commit(trip.top)
    repo.git(tmp_path, "clone", "--quiet", "--depth", "2", f"file://{trip.top}", "shallow")
    trip.top = tmp_path / "shallow"
    repo.git(trip.top, "branch", "behind", "HEAD~1")
    trip.prepare()
    commit = work(trip)
    assert export_to(trip, "behind").commit == commit
    assert repo.git(trip.top, "log", "--format=%s", "behind").split(b"\n")[0] == b"in the guest"


def test_a_history_that_does_not_build_on_the_prepare_is_refused(trip: Trip) -> None:
    repo.write(trip.top, "README", b"two\n")
    repo.commit(trip.top)
    trip.prepare()
    repo.git(trip.work, "commit", "--quiet", "--amend", "-m", "rewritten")
    with pytest.raises(UnsafeBranch, match="does not build on"):
        export_to(trip, "b")


def test_a_workspace_that_is_gone_is_told(trip: Trip) -> None:
    trip.prepare()
    trip.work.rename(trip.work.with_name("elsewhere"))
    with pytest.raises(WorkspaceNotFound):
        export_to(trip, "b")


# --- E1: a hostile guest --------------------------------------------------------


def hash_object(top: Path, kind: str, content: bytes) -> str:
    made = subprocess.run(
        ["git", "hash-object", "-w", "-t", kind, "--literally", "--stdin"],
        cwd=top,
        input=content,
        capture_output=True,
        check=True,
    )
    return made.stdout.decode().strip()


def commit_tree(trip: Trip, *entries: tuple[bytes, bytes]) -> None:
    """Commit a forged tree (mode and name of each entry) in the guest."""
    blob = bytes.fromhex(hash_object(trip.work, "blob", b"../../etc/x"))
    listing = b"".join(b"%s %s\0%s" % (mode, name, blob) for mode, name in entries)
    forge_commit(trip, hash_object(trip.work, "tree", listing), trip.record.commit)


def forge_commit(trip: Trip, tree: str, parent: str) -> str:
    text = f"tree {tree}\nparent {parent}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n"
    commit = hash_object(trip.work, "commit", text.encode())
    (trip.work / ".git/packed-refs").unlink(missing_ok=True)
    repo.write(trip.work, ".git/refs/heads/main", f"{commit}\n".encode())
    return commit


@pytest.mark.parametrize(
    "entry",
    [
        (b"100644", b".git"),
        (b"100644", b".GIT"),
        (b"100644", b"git~1"),
        (b"100644", ".g\u200cit".encode()),
        (b"100644", b".."),
        (b"100644", b"."),
        (b"100644", b"a/b"),
        (b"100644", b"../up"),
        (b"100644", b"/abs"),
        (b"100644", b"..\\up"),
        (b"100644", b".git\\config"),
        (b"120000", b".gitmodules"),
    ],
)
def test_forbidden_names_never_reach_the_repository(trip: Trip, entry: tuple[bytes, bytes]) -> None:
    trip.prepare()
    commit_tree(trip, entry)
    before, packs = refs(trip.top), list((trip.top / ".git/objects/pack").iterdir())
    with pytest.raises(UnsafeBranch):
        export_to(trip, "b")
    assert refs(trip.top) == before
    assert list((trip.top / ".git/objects/pack").iterdir()) == packs


def test_links_are_data_in_a_branch(trip: Trip) -> None:
    trip.prepare()
    commit_tree(trip, (b"120000", b"link"))
    assert export_to(trip, "b").commits == 1
    assert not (trip.top / "link").is_symlink()


def test_a_gitmodules_with_a_command_is_refused(trip: Trip) -> None:
    trip.prepare()
    repo.write(
        trip.work, ".gitmodules", b'[submodule "../../x"]\n\tpath = -x\n\turl = --upload-pack=x\n'
    )
    repo.commit(trip.work)
    with pytest.raises(UnsafeBranch):
        export_to(trip, "b")


def test_missing_objects_are_refused(trip: Trip) -> None:
    trip.prepare()
    parent = forge_commit(
        trip, repo.git(trip.work, "rev-parse", "HEAD^{tree}").decode().strip(), trip.record.commit
    )
    blob = "9" * 40
    tree = hash_object(trip.work, "tree", b"100644 x\0" + bytes.fromhex(blob))
    commit = forge_commit(trip, tree, parent)

    class Forger(Forged):
        def pack(self) -> bytes:
            return subprocess.run(
                ["git", "pack-objects", "-q", "--stdout"],
                cwd=trip.work,
                input=f"{commit}\n{tree}\n{parent}\n".encode(),
                capture_output=True,
                check=True,
            ).stdout

    with pytest.raises(UnsafeBranch):
        export_to(trip, "b", Forger(trip, f"{commit} 0\n".encode()))
    assert b"refs/heads/b" not in refs(trip.top)


class Forged(LocalGuest):
    """A guest whose git answers what it likes."""

    def __init__(
        self, trip: Trip, answer: bytes, pack: bytes = b"", *, stalls: bool = False
    ) -> None:
        super().__init__(trip.guest.home)
        self._stalls = stalls
        self._answer = answer
        self._pack = pack

    def pack(self) -> bytes:
        return self._pack

    async def run(self, argv: Sequence[str], **_: object) -> Completed:
        return Completed(0, self._answer, b"")

    @asynccontextmanager
    async def open_output(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> AsyncIterator[GuestOutput]:
        yield Bytes(self.pack(), stalls=self._stalls)


class Bytes:
    """Output that was made up, and that stalls after it if it is to."""

    def __init__(self, content: bytes, *, stalls: bool = False) -> None:
        self._content = content
        self._stalls = stalls

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 1000):
            yield self._content[start : start + 1000]
        if self._stalls:
            await asyncio.Event().wait()

    async def completed(self) -> Completed:
        return Completed(0, b"", b"")


@pytest.mark.parametrize(
    "answer",
    [b"", b"--help 0\n", b"0" * 39 + b" 0\n", b"refs/heads/main 0", b"z" * 40, b"1" * 64 + b" 0"],
)
def test_an_answer_that_names_no_commit_is_refused(trip: Trip, answer: bytes) -> None:
    trip.prepare()
    with pytest.raises(GuestProtocolError):
        export_to(trip, "b", Forged(trip, answer))


@pytest.mark.parametrize(
    "pack", [b"", b"garbage", b"PACK\0\0\0\2\0\0\0\0", b"PACK\0\0\0\2\xff\xff\xff\xff"]
)
def test_a_broken_pack_is_refused(trip: Trip, pack: bytes) -> None:
    trip.prepare()
    before = refs(trip.top)
    with pytest.raises(UnsafeBranch):
        export_to(trip, "b", Forged(trip, b"1" * 40 + b" 0\n", pack))
    assert refs(trip.top) == before


def test_an_endless_pack_is_cut_off(trip: Trip, monkeypatch: pytest.MonkeyPatch) -> None:
    """E2."""
    monkeypatch.setattr(guestcommits, "PACK_BYTES_MAX", 10_000)
    trip.prepare()
    with pytest.raises(UnsafeBranch, match="more than 10000 bytes"):
        export_to(trip, "b", Forged(trip, b"1" * 40 + b" 0\n", b"x" * 20_000))


def test_a_guest_that_stalls_is_given_up(trip: Trip) -> None:
    """E2, H3: for the branch and the patch."""
    trip.prepare()
    guest = Forged(trip, b"1" * 40 + b" 0\n", stalls=True)
    branch = export_branch(
        guest, trip.record, branch="b", deadline_s=0.2, bases=trip.bases, scratch=trip.scratch
    )
    with pytest.raises(DeadlineExceeded, match="did not finish"):
        asyncio.run(branch)

    class Silent(LocalGuest):
        async def list_directories(self, *_: object, **__: object) -> list[GuestEntry]:
            await asyncio.Event().wait()
            return []

    async def drain() -> None:
        async for _ in export_patch(
            Silent(trip.guest.home),
            trip.record,
            deadline_s=0.2,
            bases=trip.bases,
            scratch=trip.scratch,
        ):
            pass

    with pytest.raises(DeadlineExceeded, match="did not finish"):
        asyncio.run(drain())
    assert list(trip.scratch.iterdir()) == []


def test_a_commit_of_the_host_that_is_no_descendant_is_refused(trip: Trip) -> None:
    repo.git(trip.top, "switch", "--quiet", "--orphan", "secret")
    secret = repo.commit(trip.top, "secret")
    repo.git(trip.top, "switch", "--quiet", "main")
    trip.prepare()
    with pytest.raises(BangerError, match="does not build on"):
        export_to(trip, "b", Forged(trip, f"{secret} 0\n".encode(), EMPTY_PACK))


EMPTY_PACK = b"PACK\0\0\0\2\0\0\0\0" + bytes.fromhex("029d08823bd8a8eab510ad6ac75c823cfd3ed31e")
