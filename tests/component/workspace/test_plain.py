"""`--plain`: a directory that is no repository goes into a guest and comes back."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from banger.errors import GuestPathTaken, NotARepository, RepositoryRefused
from banger.workspace import inspect_directory, locate_repository
from tests.component.workspace.conftest import Trip
from tests.component.workspace.trees import apply_to, walk
from tests.support import repositories as repo


@pytest.fixture
def plain(trip: Trip) -> Trip:
    """A directory of files of every kind, and no repository."""
    shutil.rmtree(trip.top / ".git")
    for name in (".env", ".gitignore", "deep/er/file", b"latin-\xe9", b"new\nline"):
        repo.write(trip.top, name, b"*\n")
    (trip.top / "link").symlink_to("/etc/passwd")
    (trip.top / "empty/inner").mkdir(parents=True)
    return trip


def test_everything_arrives_and_nothing_else(plain: Trip) -> None:
    prepared = plain.prepare(plain=True)
    ours, theirs = walk(plain.top), walk(plain.work)
    assert (theirs.files, theirs.empty) == (ours.files, ours.empty)
    assert prepared.notices == ()
    assert sorted(path.name for path in plain.work.parent.iterdir()) == [
        ".project.banger-plain",
        ".project.banger-synced",
        "project",
    ]
    assert plain.export() == b"" and plain.notices == []


def test_changes_come_back_whatever_is_ignored(plain: Trip) -> None:
    """A11: .gitignore files mean nothing where there is no repository."""
    before = walk(plain.top).files
    plain.prepare(plain=True)
    repo.write(plain.work, ".env", b"changed\n")
    repo.write(plain.work, "new/noise.bin", os.urandom(5000) + b"\0")
    (plain.work / "README").unlink()
    (plain.work / "deep/er/file").chmod(0o755)
    (plain.work / "link").unlink()
    (plain.work / "link").symlink_to("elsewhere")
    patch = plain.export()
    assert plain.notices == []
    assert apply_to(before, patch) == walk(plain.work).files


def test_a_patch_applies_to_the_directory(plain: Trip) -> None:
    """A12, with git as the user has it, in no repository."""
    plain.prepare(plain=True)
    repo.write(plain.work, "README", b"changed\n")
    repo.write(plain.work, "new", b"new\n")
    repo.git(plain.top, "apply", "-", stdin=plain.export())
    assert walk(plain.top).files == walk(plain.work).files


def test_what_the_host_does_meanwhile_does_not_matter(plain: Trip) -> None:
    """The base is what was put in, not what the directory has now."""
    plain.prepare(plain=True)
    shutil.rmtree(plain.top)
    repo.write(plain.work, "README", b"changed\n")
    patch = plain.export()
    assert b"-read me\n+changed\n" in patch and patch.count(b"diff --git") == 1


def test_the_users_directory_is_not_touched(plain: Trip) -> None:
    def look() -> bytes:
        find = ["find", plain.top, "-printf", "%p %T@ %C@ %s\n"]
        return subprocess.run(find, capture_output=True, check=True).stdout

    before = look()
    plain.prepare(plain=True)
    plain.export()
    assert look() == before


def test_repositories_within_are_files(plain: Trip) -> None:
    """Their configuration, which may hold credentials, stays on the host."""
    inner = repo.init(plain.top / "inner")
    repo.write(inner, "file", b"x\n")
    repo.git(inner, "config", "http.extraHeader", "secret")
    prepared = plain.prepare(plain=True)
    assert [path.name for path in (plain.work / "inner").iterdir()] == ["file"]
    assert any("'inner/.git'" in notice for notice in prepared.notices)


def test_a_repository_that_the_guest_made_is_named(plain: Trip) -> None:
    """A11."""
    plain.prepare(plain=True)
    repo.init(plain.work)
    repo.commit(repo.init(plain.work / "app"))
    assert plain.export() == b""
    assert plain.notices == [
        "Repositories made in the guest, exported without their history: ., app."
    ]


@pytest.mark.parametrize("first", [True, False])
def test_a_directory_and_a_repository_replace_each_other(trip: Trip, first: bool) -> None:
    trip.prepare(plain=first)
    repo.write(trip.work, "unexported", b"work\n")
    trip.prepare(plain=not first)
    aside = trip.work.parent / ".project.banger-previous"
    assert (aside / "unexported").exists() and not (trip.work / "unexported").exists()
    trip.prepare(plain=first)
    assert (trip.work / ".git").exists() == (not first)


def test_another_directory_in_its_place_is_not_replaced(plain: Trip) -> None:
    """A6: what is beside it names the directory that banger made, not its name."""
    plain.prepare(plain=True)
    plain.work.rename(plain.work.with_name("moved"))
    repo.write(plain.work, "precious", b"x\n")
    with pytest.raises(GuestPathTaken):
        plain.prepare(plain=True)
    assert (plain.work / "precious").exists()


def test_a_home_directory_is_refused(plain: Trip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(plain.top / "deep"))
    for path in (plain.top, plain.top / "deep", Path("/")):
        with pytest.raises(RepositoryRefused, match="whole home directory"):
            asyncio.run(inspect_directory(path))
    asyncio.run(inspect_directory(plain.top / "deep/er"))


def test_what_cannot_be_read_is_named(plain: Trip) -> None:
    (plain.top / "deep").chmod(0)
    try:
        with pytest.raises(RepositoryRefused, match="deep is not readable"):
            plain.prepare(plain=True)
    finally:
        (plain.top / "deep").chmod(0o755)
    (plain.top / ".env").chmod(0)
    with pytest.raises(RepositoryRefused, match=r"\.env' in"):
        plain.prepare(plain=True)
    assert not plain.work.exists()


def test_without_the_option_the_refusal_names_it(plain: Trip) -> None:
    with pytest.raises(NotARepository) as caught:
        locate_repository(plain.top)
    assert caught.value.hint and "--plain" in caught.value.hint


def test_a_base_that_is_gone_is_told(plain: Trip) -> None:
    plain.prepare(plain=True)
    shutil.rmtree(plain.bases)
    with pytest.raises(RepositoryRefused, match="no longer has the base"):
        plain.export()
