"""A host repository in the middle of some work, and what comes back from a guest (A12).

For each kind, in one workspace: a guest that does nothing gives an empty patch and no branch; the
patch of one that adds a file, or changes every file, applies to the host's work tree as it was; and
the patch since the commit has the names that the host's git would commit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.component.workspace.conftest import Trip
from tests.component.workspace.test_branch import export_to
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


def expanded(top: Path) -> None:
    """Files whose bytes are others than git's: an identifier, and UTF-16."""
    repo.write(top, ".gitattributes", b"*.id ident\n*.u16 working-tree-encoding=UTF-16\n")
    repo.write(top, "x.id", b"$Id$\n")
    repo.write(top, "wide.u16", "wide\n".encode("utf-16"))
    repo.commit(top)
    for name in ("x.id", "wide.u16"):
        (top / name).unlink()
    repo.git(top, "checkout", "-q", ".")
    assert (top / "x.id").read_bytes() != b"$Id$\n"
    repo.write(top, "wide.u16", "wider\n".encode("utf-16"))


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
    expanded,
    filtered,
    sparse,
    assumed_unchanged,
    detached_with_old_index,
    with_submodule,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_comes_back_fits_the_host(
    trip: Trip, kind: Callable[[Path], None], tmp_path: Path
) -> None:
    """A3, A12."""
    kind(trip.top)
    trip.prepare(include_untracked=kind is untracked)
    check_nothing(trip)
    since_commit = trip.export(since_commit=True)
    for check in (check_added_file, check_changed_files):
        check(trip, shutil.copytree(trip.top, tmp_path / check.__name__, symlinks=True))
    check_names(trip, since_commit, tmp_path / "clone")


def test_what_git_refuses_to_add_comes_back_as_it_is(trip: Trip) -> None:
    """A11: attributes demand UTF-16 with a byte order mark, of files that have none."""
    old, fine = b"no mark.u16", b"fine.u16"
    repo.write(trip.top, os.fsdecode(old), b"plain\n")
    repo.write(trip.top, os.fsdecode(fine), "wide\n".encode("utf-16"))
    repo.commit(trip.top)
    repo.write(trip.top, ".gitattributes", b"*.u16 working-tree-encoding=UTF-16\n")
    repo.git(trip.top, "add", ".gitattributes")
    repo.git(trip.top, "commit", "-q", "-m", "an encoding")
    trip.prepare()
    left = {old: b"changed\n", fine: "wider\n".encode("utf-16"), b'a\n"name".u16': b"new\n"}
    for name, content in left.items():
        repo.write(trip.work, os.fsdecode(name), content)
    patch = trip.export()
    assert export_to(trip, "b", include_uncommitted=True, fresh=True).branch == "b"
    on_branch = {name: repo.git(trip.top, "show", b"b:" + name) for name in left}
    assert on_branch == left | {fine: b"wider\n"}
    repo.git(trip.top, "apply", "-", stdin=patch)
    there = walk(trip.top).files
    assert {name: there[name][1].decode("utf-16").encode() for name in on_branch} == on_branch


def check_nothing(trip: Trip) -> None:
    """A guest that does nothing gives an empty patch and no branch."""
    assert trip.export() == b""
    # Nor does a look at the tree by the guest's own git, which refreshes the index.
    repo.git(trip.work, "status")
    assert trip.export() == b""
    assert trip.notices == []
    assert export_to(trip, "b", include_uncommitted=True, fresh=True).branch is None


def check_added_file(trip: Trip, top: Path) -> None:
    """The patch of a file that the guest adds applies to the host's work tree as it was."""
    added = {b"added/by the guest": ("100755", b"added\n")}
    repo.write(trip.work, "added/by the guest", b"added\n", mode=0o755)
    expected = walk(top).files | added
    patch = trip.export()
    assert patch.count(b"diff --git") == 1
    repo.git(top, "apply", "-", stdin=patch)
    assert contents(walk(top).files) == contents(expected)
    shutil.rmtree(trip.work / "added")


def check_changed_files(trip: Trip, top: Path) -> None:
    """The patch of a line more in each file applies to the host's work tree as it was."""
    expected = contents(walk(top).files)
    for name, (mode, content) in walk(trip.work).files.items():
        # The host's git expands identifiers anew, whatever the patch says.
        if mode != "120000" and name != b".gitattributes" and not name.endswith(b".id"):
            is_wide = name.endswith(b".u16")
            longer = content + "one more line\n".encode("utf-16-le" if is_wide else "ascii")
            (trip.work / name.decode()).write_bytes(longer)
            expected |= contents({name: (mode, longer)})
    repo.git(top, "apply", "-", stdin=trip.export())
    assert contents(walk(top).files) == expected


def check_names(trip: Trip, since_commit: bytes, clone: Path) -> None:
    """The patch has the names of `git add --all && git diff --cached HEAD` on the host."""
    repo.git(clone.parent, "clone", "-q", str(trip.top), str(clone))
    repo.git(clone, "checkout", "-q", "--detach", trip.record.commit)
    if since_commit:
        repo.git(clone, "apply", "--cached", "-", stdin=since_commit)
    repo.git(trip.top, "add", "--all")
    assert staged_names(clone) == staged_names(trip.top)


def staged_names(top: Path) -> bytes:
    """Return the names that a commit would change; what is in a submodule stays on the host."""
    options = ("--no-renames", "--ignore-submodules", "--name-only", "-z")
    return repo.git(top, "diff", "--cached", *options, "HEAD")


def contents(tree: Tree) -> dict[bytes, bytes]:
    """Return the contents of a tree without differences of line ends: the host's git makes some."""
    return {name: content.replace(b"\r\n", b"\n") for name, (_, content) in tree.items()}
