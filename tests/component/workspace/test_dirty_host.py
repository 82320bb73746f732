"""A host repository in the middle of some work, and a guest that adds nothing of it.

For each kind: a guest that does nothing gives an empty patch, and the patch of one that adds a
file applies to the host's work tree as it was (A12).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.component.workspace.conftest import Trip
from tests.component.workspace.trees import Tree, walk
from tests.support import repositories as repo

UNTRACKED = "untracked"
"""The kind that sends untracked files."""


def modified(top: Path) -> None:
    repo.write(top, "README", b"changed\n")


def staged(top: Path) -> None:
    repo.write(top, "README", b"changed\n")
    repo.write(top, "new", b"new\n", mode=0o755)
    repo.git(top, "add", "README", "new")


def staged_and_modified(top: Path) -> None:
    staged(top)
    repo.write(top, "README", b"changed again\n")


def removed(top: Path) -> None:
    (top / "README").unlink()


def removed_and_staged(top: Path) -> None:
    repo.git(top, "rm", "-q", "README")


def renamed(top: Path) -> None:
    repo.git(top, "mv", "README", "READ.ME")


def untracked(top: Path) -> None:
    repo.write(top, "notes/untracked", b"not tracked\n")


def mode_changed(top: Path) -> None:
    (top / "README").chmod(0o755)


def mode_not_trusted(top: Path) -> None:
    repo.git(top, "config", "core.fileMode", "false")
    (top / "README").chmod(0o755)
    (top / "src/main.py").chmod(0o644)


def type_changed(top: Path) -> None:
    (top / "README").unlink()
    (top / "README").symlink_to("src/main.py")
    shutil.rmtree(top / "src")
    repo.write(top, "src", b"a file now\n")
    repo.git(top, "add", "src")


def merging(top: Path) -> None:
    repo.git(top, "switch", "-q", "-c", "theirs")
    repo.write(top, "README", b"theirs\n")
    repo.commit(top)
    repo.git(top, "switch", "-q", "main")
    repo.write(top, "README", b"ours\n")
    repo.commit(top)
    repo.git(top, "merge", "-q", "theirs", check=False)
    assert repo.status(top) == [b"UU README"]


def intended(top: Path) -> None:
    repo.write(top, "later", b"to be added\n")
    repo.git(top, "add", "--intent-to-add", "later")


def with_line_ends(top: Path) -> None:
    repo.git(top, "config", "core.autocrlf", "true")
    (top / "README").unlink()
    repo.git(top, "checkout", "-q", "--", "README")
    assert (top / "README").read_bytes() == b"read me\r\n"


def filtered(top: Path) -> None:
    repo.git(top, "config", "filter.shout.clean", "tr a-z A-Z")
    repo.git(top, "config", "filter.shout.smudge", "tr A-Z a-z")
    repo.write(top, ".gitattributes", b"*.txt filter=shout\n*.eol text eol=crlf\n")
    repo.write(top, "a.txt", b"quiet\n")
    repo.write(top, "a.eol", b"1\n2\n")
    # Older than the index, which tells git that a filtered file is unchanged.
    os.utime(top / "a.txt", (1_700_000_000, 1_700_000_000))
    repo.commit(top)
    assert repo.git(top, "show", "HEAD:a.txt") == b"QUIET\n"


def sparse(top: Path) -> None:
    repo.git(top, "sparse-checkout", "set", "nothing")
    assert not (top / "src").exists()


def assumed_unchanged(top: Path) -> None:
    repo.git(top, "update-index", "--assume-unchanged", "README")
    repo.git(top, "update-index", "--skip-worktree", "src/main.py")
    repo.write(top, "README", b"nobody looks\n")
    repo.write(top, "src/main.py", b"nobody looks\n", mode=0o755)


def detached_with_old_index(top: Path) -> None:
    repo.git(top, "checkout", "-q", "--detach")
    repo.git(top, "update-index", "--index-version", "4")
    repo.git(top, "update-index", "--split-index")
    staged(top)


def with_submodule(top: Path) -> None:
    source = repo.init(top / ".git/source")
    repo.write(source, "inside", b"1\n")
    repo.commit(source)
    repo.git(top, "submodule", "--quiet", "add", f"file://{source}", "sub")
    repo.commit(top)
    repo.write(top / "sub", "inside", b"2\n")
    repo.commit(top / "sub")


KINDS = [
    modified,
    staged,
    staged_and_modified,
    removed,
    removed_and_staged,
    renamed,
    untracked,
    mode_changed,
    mode_not_trusted,
    type_changed,
    merging,
    intended,
    with_line_ends,
    filtered,
    sparse,
    assumed_unchanged,
    detached_with_old_index,
    with_submodule,
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def dirty(request: pytest.FixtureRequest, trip: Trip) -> Trip:
    """A trip from a host that is dirty in one way."""
    kind: Callable[[Path], None] = request.param
    kind(trip.top)
    trip.prepare(include_untracked=kind is untracked)
    return trip


def test_a_guest_that_does_nothing_gives_an_empty_patch(dirty: Trip) -> None:
    """A12."""
    assert dirty.export() == b""
    # Nor does a look at the tree by the guest's own git, which refreshes the index.
    repo.git(dirty.work, "status")
    assert dirty.export() == b""
    assert dirty.notices == []


def test_the_patch_of_an_added_file_applies_to_the_host_as_it_was(dirty: Trip) -> None:
    """A12."""
    added = {b"added/file": ("100755", b"added\n")}
    repo.write(dirty.work, "added/file", b"added\n", mode=0o755)
    expected = walk(dirty.top).files | added
    repo.git(dirty.top, "apply", "-", stdin=dirty.export())
    assert contents(walk(dirty.top).files) == contents(expected)


def test_the_patch_of_changed_files_applies_to_the_host_as_it_was(dirty: Trip) -> None:
    """A12: each file that is there gets a line more."""
    expected = contents(walk(dirty.top).files)
    for name, (mode, content) in walk(dirty.work).files.items():
        if mode != "120000":
            expected[name] = content.replace(b"\r\n", b"\n") + b"one more line\n"
            (dirty.work / name.decode()).write_bytes(content + b"one more line\n")
    repo.git(dirty.top, "apply", "-", stdin=dirty.export())
    assert contents(walk(dirty.top).files) == expected


def contents(tree: Tree) -> dict[bytes, bytes]:
    """Return the contents of a tree without differences of line ends: the host's git makes some."""
    return {name: content.replace(b"\r\n", b"\n") for name, (_, content) in tree.items()}
