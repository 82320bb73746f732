"""Host trees that are not clean, and guests that do nothing, add a file, or change all files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.component.workspace.conftest import Trip
from tests.component.workspace.test_branch import export_to
from tests.component.workspace.test_export import apply, prepare
from tests.support import repositories as repo


def modified(top: Path) -> None:
    repo.write(top, "README", b"modified\n")


def staged(top: Path) -> None:
    modified(top)
    repo.git(top, "add", "README")
    repo.write(top, "README", b"staged and modified\n")


def removed(top: Path) -> None:
    (top / "README").unlink()
    repo.git(top, "rm", "--quiet", "src/main.py")


def renamed(top: Path) -> None:
    repo.git(top, "mv", "README", "READ.ME")


def untracked(top: Path) -> None:
    repo.write(top, "notes/untracked", b"mine\n")


def mode_changed(top: Path) -> None:
    (top / "README").chmod(0o755)
    (top / "src/main.py").chmod(0o644)


def type_changed(top: Path) -> None:
    (top / "README").unlink()
    (top / "README").symlink_to("src/main.py")


def merging(top: Path) -> None:
    repo.git(top, "switch", "--quiet", "-c", "theirs")
    repo.write(top, "README", b"theirs\n")
    repo.commit(top)
    repo.git(top, "switch", "--quiet", "main")
    repo.write(top, "README", b"ours\n")
    repo.commit(top)
    repo.git(top, "merge", "--quiet", "theirs", check=False)
    assert repo.status(top) == [b"UU README"]


def intended(top: Path) -> None:
    repo.write(top, "new", b"to be added\n")
    repo.git(top, "add", "--intent-to-add", "new")


def converted(top: Path) -> None:
    repo.git(top, "config", "core.autocrlf", "true")
    repo.write(top, ".gitattributes", b"*.id ident\n*.u16 working-tree-encoding=UTF-16\n")
    repo.write(top, "dos.txt", b"one\r\ntwo\r\n")
    repo.write(top, "x.id", b"$Id$\n")
    repo.write(top, "wide.u16", "wide\n".encode("utf-16"))
    repo.commit(top)
    for name in ("README", "dos.txt", "x.id", "wide.u16"):
        (top / name).unlink()
    repo.git(top, "checkout", "--quiet", ".")
    repo.write(top, "dos.txt", b"one\r\ntwo\r\nthree\r\n")


def sparse(top: Path) -> None:
    repo.git(top, "sparse-checkout", "set", "--no-cone", "/README")
    assert not (top / "src").exists()


def without_modes(top: Path) -> None:
    repo.git(top, "config", "core.fileMode", "false")
    (top / "README").chmod(0o777)


KINDS = [
    modified,
    staged,
    removed,
    renamed,
    untracked,
    mode_changed,
    type_changed,
    merging,
    intended,
    converted,
    sparse,
    without_modes,
]


@pytest.mark.parametrize("dirty", KINDS)
def test_a_guest_that_does_nothing_gives_an_empty_patch(
    trip: Trip, dirty: Callable[[Path], None]
) -> None:
    dirty(trip.top)
    prepare(trip, include_untracked=True)
    assert trip.export() == b""
    assert trip.notices == []
    exported = export_to(trip, "b", include_uncommitted=True, fresh=True)
    assert exported.branch is None


@pytest.mark.parametrize("dirty", KINDS)
def test_a_patch_that_adds_a_file_applies(trip: Trip, dirty: Callable[[Path], None]) -> None:
    dirty(trip.top)
    prepare(trip, include_untracked=True)
    repo.write(trip.work, "added/by the guest", b"new\n")
    patch = trip.export()
    assert patch.count(b"diff --git") == 1
    after = repo.snapshot(apply(trip, patch))
    kept = repo.snapshot(trip.scratch.with_name("kept"))
    line_end = b"\r\n" if dirty is converted else b"\n"
    assert after == kept | {b"added/by the guest": ("-", b"new" + line_end)}


@pytest.mark.parametrize("dirty", KINDS)
def test_a_patch_that_changes_every_file_applies(trip: Trip, dirty: Callable[[Path], None]) -> None:
    dirty(trip.top)
    prepare(trip, include_untracked=True)
    for name, (kind, content) in repo.snapshot(trip.work).items():
        path = Path(trip.work, name.decode())
        # The host's git expands identifiers anew, whatever the patch says.
        if kind != "link" and path.suffix != ".id" and name != b".gitattributes":
            wide = path.suffix == ".u16"
            path.write_bytes(content + ("more\r\n".encode("utf-16-le") if wide else b"more\r\n"))
    after = repo.snapshot(apply(trip, trip.export()))
    if dirty is without_modes:  # nor does it set modes there
        after = {name: ("x", content) for name, (_, content) in after.items()}
    assert after == repo.snapshot(trip.work)


@pytest.mark.parametrize("dirty", KINDS)
def test_since_the_commit_is_what_the_hosts_git_says(
    trip: Trip, dirty: Callable[[Path], None]
) -> None:
    """The names of `git add --all && git diff --cached HEAD` on the host."""
    dirty(trip.top)
    kept = prepare(trip, include_untracked=True)
    patch = trip.export(since_commit=True)
    repo.git(kept, "add", "--all")
    said = repo.git(kept, "diff", "--cached", "--no-renames", "--name-only", "-z", "HEAD")
    (trip.scratch.parent / "patch").write_bytes(patch)
    clone = trip.scratch.parent / "clone"
    repo.git(trip.top.parent, "clone", "--quiet", str(trip.top), str(clone))
    repo.git(clone, "checkout", "--quiet", "--detach", trip.record.commit)
    if patch:
        repo.git(clone, "apply", "--cached", str(trip.scratch.parent / "patch"))
    listed = repo.git(clone, "diff", "--cached", "--no-renames", "--name-only", "-z", "HEAD")
    assert listed == said
