"""Excluded paths: what a pattern names neither goes in nor comes back, and is missed by nobody."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from banger.errors import RepositoryRefused
from banger.workspace import export_branch, sync_workspace
from banger.workspace.base import load_base
from banger.workspace.status import read_host
from tests.component.workspace.conftest import DEADLINE_S, Trip
from tests.component.workspace.trees import walk
from tests.support import repositories as repo
from tests.support.odd.places import large_file
from tests.support.odd.submodules import add

PATTERNS = b"/assets/\n*.pem\n!public.pem\n"
SECRETS = (b"private key\n", b"a film\n")


@pytest.fixture
def full_of(trip: Trip) -> Trip:
    """A repository with tracked files that the patterns name, and one that they take back."""
    repo.write(trip.top, "assets/film", SECRETS[1])
    repo.write(trip.top, "src/key.pem", SECRETS[0])
    repo.write(trip.top, "src/public.pem", b"public key\n")
    repo.write(trip.top, "src/assets/kept", b"kept\n")
    repo.commit(trip.top, "second")
    return trip


def guest_git(trip: Trip, *words: str) -> str:
    identity = ("-c", "user.name=g", "-c", "user.email=g@example.com")
    return repo.git(trip.work, *identity, *words).decode()


def all_content(top: Path) -> bytes:
    """Everything that git has at a place, in any form."""
    batch = ("cat-file", "--batch-all-objects", "--batch", "--buffer")
    return repo.git(top, *batch)


@pytest.mark.parametrize("full", [False, True])
def test_excluded_files_stay_on_the_host(full_of: Trip, full: bool) -> None:
    """A5: neither in the work tree nor among the objects; the guest's git misses nothing."""
    repo.write(full_of.top, "src/key.pem", b"changed on the host\n")
    repo.write(full_of.top, "new.pem", b"staged\n")
    repo.git(full_of.top, "add", "new.pem")
    repo.git(full_of.top, "rm", "-q", "--cached", "assets/film")
    full_of.prepare(exclude=PATTERNS, full=full)
    names = set(walk(full_of.work).files)
    assert names == {b"README", b"src/main.py", b"src/public.pem", b"src/assets/kept"}
    content = all_content(full_of.work)
    assert not any(each in content for each in (*SECRETS, b"changed on the host", b"staged"))
    assert repo.status(full_of.work) == []
    assert full_of.export() == b"" and full_of.notices == []
    assert full_of.export(since_commit=True) == b""


def test_without_patterns_everything_is_there(full_of: Trip) -> None:
    full_of.prepare()
    assert SECRETS[0] in all_content(full_of.work) and (full_of.work / "assets/film").exists()
    assert guest_git(full_of, "remote") == ""


def test_untracked_files_are_excluded_too(full_of: Trip) -> None:
    repo.write(full_of.top, "notes/x.pem", b"untracked\n")
    repo.write(full_of.top, "notes/y", b"untracked\n")
    full_of.prepare(exclude=PATTERNS, include_untracked=True)
    assert sorted(path.name for path in (full_of.work / "notes").iterdir()) == ["y"]
    prepared = full_of.prepare(exclude=b"notes\n")
    assert prepared.untracked_left_out == 0


def test_the_guest_commits_and_everything_else_comes_back(full_of: Trip) -> None:
    """A3, A11: as patch, since the commit, and as branch; a commit keeps what is excluded."""
    full_of.prepare(exclude=PATTERNS)
    repo.write(full_of.work, "README", b"changed\n")
    guest_git(full_of, "mv", "src/public.pem", "src/moved")
    guest_git(full_of, "commit", "--quiet", "--all", "--message", "from the guest")
    repo.write(full_of.work, "src/main.py", b"uncommitted\n", mode=0o755)
    for since_commit in (False, True):
        patch = full_of.export(since_commit=since_commit)
        assert patch.count(b"diff --git") == 3 and b"film" not in patch and b"key.pem" not in patch
    done = asyncio.run(
        export_branch(
            full_of.guest,
            full_of.record,
            branch="back",
            include_uncommitted=True,
            deadline_s=DEADLINE_S,
            bases=full_of.bases,
            scratch=full_of.scratch,
        )
    )
    assert done.commits == 2
    told = repo.git(full_of.top, "diff", "--name-status", "--no-renames", "HEAD", "back").decode()
    assert told.split() == "M README M src/main.py A src/moved D src/public.pem".split()
    repo.git(full_of.top, "apply", "-", stdin=full_of.export())
    assert (full_of.top / "src/key.pem").read_bytes() == SECRETS[0]


def test_what_the_guest_makes_at_an_excluded_path_is_named(full_of: Trip) -> None:
    """The host may have another file there. E3: a name of the guest's is harmless."""
    full_of.prepare(exclude=PATTERNS)
    repo.write(full_of.work, "assets/film", b"another\n")
    repo.write(full_of.work, "src/key.pem", b"another\n")
    repo.write(full_of.work, "deep/er/own.pem", b"own\n")
    repo.write(full_of.work, "deep/file", b"own\n")
    guest_git(full_of, "add", "--all", "--force", "deep")
    patch = full_of.export()
    assert patch.count(b"diff --git") == 1 and b"deep/file" in patch
    (told,) = full_of.notices
    assert told == "Excluded paths, not exported: assets, deep/er/own.pem, src/key.pem."


def test_another_commit_is_copied_without_them(full_of: Trip) -> None:
    """--from: of that commit's own tree."""
    repo.git(full_of.top, "rm", "-rq", "assets")
    repo.commit(full_of.top, "third")
    full_of.prepare(exclude=PATTERNS, branch="topic", from_ref="HEAD^")
    assert not (full_of.work / "assets").exists() and repo.status(full_of.work) == []
    assert SECRETS[1] not in all_content(full_of.work)
    assert full_of.export() == b""


def test_a_plain_directory(full_of: Trip) -> None:
    subprocess.run(["rm", "-r", full_of.top / ".git"], check=True)
    (full_of.top / "assets/empty").mkdir()
    full_of.prepare(plain=True, exclude=PATTERNS)
    assert not (full_of.work / "assets").exists()
    assert walk(full_of.work).files.keys() == {
        b"README",
        b"src/main.py",
        b"src/public.pem",
        b"src/assets/kept",
    }
    repo.write(full_of.work, "assets/film", b"another\n")
    assert full_of.export() == b"" and "Excluded" in full_of.notices[0]


def test_the_host_is_compared_without_them(full_of: Trip) -> None:
    """`status` and `--auto-prepare`: a change of an excluded file is none."""
    full_of.prepare(exclude=PATTERNS)
    record = replace(full_of.record, exclude=PATTERNS.decode().splitlines())
    repo.write(full_of.top, "src/key.pem", b"changed\n")

    def is_stale() -> bool:
        base = load_base(full_of.bases, record.base or "")
        return asyncio.run(read_host(record, base, scratch=full_of.scratch)).is_stale(record)

    assert not is_stale()
    repo.write(full_of.top, "README", b"changed, and longer\n")
    assert is_stale()


def test_a_conflict_cannot_be_excluded(full_of: Trip) -> None:
    """F4: its three contents are in the index."""
    top = full_of.top
    repo.git(top, "switch", "--quiet", "-c", "other")
    repo.write(top, "src/key.pem", b"other\n")
    repo.commit(top, "other")
    repo.git(top, "switch", "--quiet", "main")
    repo.write(top, "src/key.pem", b"mine\n")
    repo.commit(top, "mine")
    merge = ["git", "-C", top, "merge", "--quiet", "other"]
    assert subprocess.run(merge, capture_output=True, check=False).returncode == 1
    with pytest.raises(RepositoryRefused, match="has a conflict"):
        full_of.inspect(exclude=PATTERNS)


def test_patterns_hold_in_submodules(full_of: Trip) -> None:
    """A5: by the whole path, also in submodules of submodules; git there misses nothing."""
    add(repo.init(full_of.top.with_name("middle")))
    outer = add(full_of.top, "outer", name="outer", source="middle")
    repo.git(outer, "submodule", "--quiet", "update", "--init")
    for top in (outer / "vendor/sub", outer, full_of.top):
        repo.write(top, "key.pem", SECRETS[0])
        repo.write(top, "assets/kept", b"kept\n")
        repo.write(top, "raw/film", SECRETS[1])
        repo.commit(top, "with a key")
    full_of.prepare(exclude=b"*.pem\n/assets/\n/raw\n/outer/raw/\n/outer/*/*/raw\n", full=True)
    for inside in (full_of.work / "outer", full_of.work / "outer/vendor/sub"):
        assert (inside / "assets/kept").exists()
        assert not (inside / "key.pem").exists() and not (inside / "raw").exists()
        assert not any(each in all_content(inside) for each in SECRETS)
        assert repo.status(inside) == []
    assert repo.status(full_of.work) == [] and full_of.export() == b""
    assert full_of.notices == []


def test_large_files_that_only_excluded_files_name_stay(trip: Trip) -> None:
    """A5: in old commits, staged, and in submodules; the plan does not count them."""
    for top in (add(trip.top), trip.top):
        git_dir = Path(repo.git(top, "rev-parse", "--absolute-git-dir").decode().strip())
        repo.write(top, "old.big", large_file(git_dir, b"kept, of an old commit"))
        repo.write(top, "assets/film", large_file(git_dir, b"an old film"))
        repo.commit(top, "first")
        (top / "old.big").unlink()
        both = large_file(git_dir, b"of both")
        repo.write(top, "copy.big", both.replace(b"\nsize", b"\r\nsize"))
        repo.write(top, "assets/copy", both)
        repo.write(top, "assets/film", large_file(git_dir, SECRETS[1]))
        repo.commit(top, "second")
        repo.write(top, "assets/film", large_file(git_dir, b"a staged film"))
        repo.git(top, "add", "assets")
    planned = trip.inspect(exclude=b"assets\n", full=True).bytes
    assert trip.prepare(exclude=b"assets\n", full=True).bytes == planned
    for inside in (trip.work, trip.work / "vendor/sub"):
        objects = repo.snapshot(inside / ".git/lfs/objects").values()
        assert sorted(content for _, content in objects) == [b"kept, of an old commit", b"of both"]


def test_hostile_names_are_data(full_of: Trip) -> None:
    """F4, E1: names that look like options, magic or escapes are matched as they are."""
    for name in (":(glob)x", "-rf", b"line\nbreak.pem", b"\xe9.pem", 'quo"te\\.pem'):
        repo.write(full_of.top, name, b"x\n")
    repo.commit(full_of.top, "odd")
    full_of.prepare(exclude=PATTERNS + b"/-rf\n:*\n")
    names = walk(full_of.work).files.keys()
    assert names == {b"README", b"src/main.py", b"src/public.pem", b"src/assets/kept"}
    assert repo.status(full_of.work) == []


def test_a_sync_leaves_them_alone(full_of: Trip) -> None:
    """Neither side's file at an excluded path is copied, deleted or in conflict."""
    full_of.prepare(exclude=PATTERNS)
    record = replace(full_of.record, exclude=PATTERNS.decode().splitlines())
    repo.write(full_of.work, "src/key.pem", b"of the guest\n")
    repo.write(full_of.work, "assets/more", b"of the guest\n")
    repo.write(full_of.work, "README", b"changed in the guest\n")
    repo.write(full_of.top, "src/main.py", b"changed on the host\n", mode=0o755)
    (full_of.top / "assets/film").unlink()
    for _ in range(2):
        done = asyncio.run(
            sync_workspace(
                full_of.guest,
                record,
                bases=full_of.bases,
                deadline_s=DEADLINE_S,
                scratch=full_of.scratch,
            )
        )
        assert done.conflicts == ()
        record = replace(record, base=done.base or record.base)
    assert (full_of.top / "README").read_bytes() == b"changed in the guest\n"
    assert (full_of.work / "src/main.py").read_bytes() == b"changed on the host\n"
    assert (full_of.top / "src/key.pem").read_bytes() == SECRETS[0]
    assert list((full_of.top / "assets").iterdir()) == []
    assert (full_of.work / "src/key.pem").read_bytes() == b"of the guest\n"
