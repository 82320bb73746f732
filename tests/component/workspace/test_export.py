"""`export`: the patch makes the guest's tree of what was put in, and changes nothing there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.errors import RepositoryRefused, WorkspaceNotFound
from tests.component.workspace.conftest import Trip, new_trip
from tests.support import repositories as repo


def prepare(trip: Trip, **options: object) -> Path:
    """Prepare; keep a copy of the host's tree as it was, which `reproduces` applies patches to."""
    trip.prepare(**options)
    kept = trip.scratch.with_name("kept")
    shutil.rmtree(kept, ignore_errors=True)
    subprocess.run(["cp", "-a", trip.top, kept], check=True)
    if not options.get("include_untracked"):
        repo.git(kept, "clean", "-ffdq")
    return kept


def apply(trip: Trip, patch: bytes) -> Path:
    """Apply a patch to the host's tree as it was put in; return the tree."""
    tree = Path(tempfile.mkdtemp(dir=trip.scratch.parent)) / "tree"
    subprocess.run(["cp", "-a", trip.scratch.with_name("kept"), tree], check=True)
    if patch:
        (tree.parent / "patch").write_bytes(patch)
        repo.git(tree, "apply", "--binary", "--whitespace=nowarn", str(tree.parent / "patch"))
    return tree


def reproduces(trip: Trip) -> bytes:
    """Export, check that the guest is as it was and that the patch makes the same tree."""
    before = fingerprint(trip.work)
    patch = trip.export()
    assert fingerprint(trip.work) == before
    assert without_submodule(repo.snapshot(apply(trip, patch))) == repo.snapshot(trip.work)
    return patch


def without_submodule(tree: dict[bytes, tuple[str, bytes]]) -> dict[bytes, tuple[str, bytes]]:
    """The host has files in its submodule, which do not go into a guest."""
    return {name: what for name, what in tree.items() if not name.startswith(b"vendor/sub/")}


def fingerprint(work: Path) -> dict[str, tuple[int, bytes]]:
    """Return what every file and link below `work`, git's own too, is made of.

    Objects without their time: git renews it when it meets an object that it has already.
    """
    found = {}
    for directory, _, names in os.walk(work):
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink() and not path.is_file():
                continue
            content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
            time_ns = 0 if ".git/objects/" in str(path) else path.lstat().st_mtime_ns
            found[str(path)] = (time_ns, hashlib.sha256(content).digest())
    return found


def test_nothing_changed_is_an_empty_patch(trip: Trip) -> None:
    prepare(trip)
    assert reproduces(trip) == b""


def test_committed_staged_changed_and_untracked_are_all_in_it(trip: Trip) -> None:
    """A3: the patch is against the prepared commit, not the guest's HEAD."""
    prepare(trip)
    repo.write(trip.work, "committed", b"1\n")
    repo.commit(trip.work)
    repo.write(trip.work, "staged", b"2\n")
    repo.git(trip.work, "add", "staged")
    repo.write(trip.work, "README", b"changed\n")
    repo.write(trip.work, "untracked dir/f", b"3\n")
    patch = reproduces(trip)
    for name in (b"committed", b"staged", b"README", b"untracked dir/f"):
        assert b" b/" + name in patch


def test_what_was_dirty_when_prepared_is_not_in_it(trip: Trip) -> None:
    """A3: the base is the tree as it was put in."""
    repo.write(trip.top, "README", b"dirty on the host\n")
    prepare(trip)
    assert reproduces(trip) == b""
    repo.write(trip.work, "README", b"dirty on the host\nand in the guest\n")
    assert b"\n dirty on the host\n+and in the guest\n" in reproduces(trip)
    assert b"-read me" in trip.export(since_commit=True)


def test_ignored_files_are_not(trip: Trip) -> None:
    repo.write(trip.top, ".gitignore", b"*.o\n")
    repo.commit(trip.top)
    prepare(trip)
    repo.write(trip.work, "x.o", b"object\n")
    assert trip.export() == b""


def test_the_guests_index_and_files_stay(trip: Trip) -> None:
    """A4: staged, partly staged and conflicted entries stay what they were."""
    prepare(trip)
    repo.write(trip.work, "README", b"staged\n")
    repo.git(trip.work, "add", "README")
    repo.write(trip.work, "README", b"and more\n")
    repo.write(trip.work, "new", b"untracked\n")
    said = repo.status(trip.work)
    reproduces(trip)
    assert repo.status(trip.work) == said == [b"?? new", b"MM README"]
    assert [path.name for path in (trip.work / ".git/banger").iterdir()] == ["workspace"]


def test_conflicts_in_the_guest_export_what_the_files_say(trip: Trip) -> None:
    prepare(trip)
    repo.git(trip.work, "switch", "--quiet", "-c", "other")
    repo.write(trip.work, "README", b"theirs\n")
    repo.commit(trip.work)
    repo.git(trip.work, "switch", "--quiet", "main")
    repo.write(trip.work, "README", b"ours\n")
    repo.commit(trip.work)
    repo.git(trip.work, "merge", "other", check=False)
    assert b"+<<<<<<< HEAD" in reproduces(trip)
    assert repo.status(trip.work) == [b"UU README"]


def test_a_locked_index_is_no_obstacle(trip: Trip) -> None:
    prepare(trip)
    repo.write(trip.work, ".git/index.lock")
    repo.write(trip.work, "README", b"changed\n")
    assert b"+changed" in trip.export()


def test_the_guests_configuration_cannot_bend_the_patch(trip: Trip) -> None:
    prepare(trip)
    for key, value in {
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.external": "false",
        "diff.renames": "copies",
        "diff.submodule": "log",
        "diff.suppressBlankEmpty": "true",
        "diff.relative": "true",
        "diff.orderFile": "/dev/null",
        "diff.context": "0",
        "diff.x.textconv": "false",
        "diff.x.command": "false",
        "diff.wsErrorHighlight": "all",
        "color.ui": "always",
        "core.quotePath": "false",
        "core.splitIndex": "true",
        "core.safecrlf": "true",
        "core.abbrev": "4",
    }.items():
        repo.git(trip.work, "config", key, value)
    repo.write(trip.work, ".gitattributes", b"* diff=x\n*.txt text\n")
    repo.write(trip.work, "crlf.txt", b"a\r\nb\n")
    repo.write(trip.work, "gr\u00fc\u00df", b"\n\nblank lines\n\n")
    repo.write(trip.work, "README", b"\nread me\n\n")
    patch = trip.export()
    assert repo.snapshot(apply(trip, patch)) == repo.snapshot(trip.work)


def test_a_big_repository_comes_back_bit_for_bit(trip: Trip, tmp_path: Path) -> None:
    """More than 2,000 files, every kind of name; changed in every way, committed and not."""
    trip.top = tmp_path / "big"
    repo.make_repository(trip.top, files=2100, total_mib=12)
    prepare(trip)
    assert repo.status(trip.work) == repo.status(trip.top) == []
    for number in range(0, 2000, 7):
        path = next(iter(trip.work.glob(f"src/part{number % 97}/unit{number}.*")))
        match number % 5:
            case 0:
                path.unlink()
            case 1:
                path.write_bytes(path.read_bytes()[::-1])
            case 2:
                path.rename(path.with_name(f"moved {number}"))
            case 3:
                path.chmod(0o755 if number % 2 else 0o644)
            case _:
                path.unlink()
                path.symlink_to("elsewhere")
        if number == 980:
            repo.commit(trip.work, "half of it")
    for name in (b"new\nline", b"latin-\xe9-\xff", b"windows.crlf", b"big.bin", b"empty", b"twin"):
        repo.write(trip.work, name, b"\0changed\r\n")
    repo.write(trip.work, b"more/\xffbytes\t", os.urandom(300_000))
    reproduces(trip)


NAMES = st.sampled_from(
    [
        b"a",
        b"b",
        b"c d",
        b"d/e",
        b"d/f/g",
        b'q"\\',
        b"\xe9\xff",
        b"n\nl",
        b"a b/a",
        b"e.bin",
        b"README",
    ]
)
CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from([b"one\n", b"two\n", b"\n", b"\\ x\n", b"-- a\n", b"no end"])).map(
        b"".join
    ),
)
FILES = st.tuples(st.sampled_from(["file", "executable", "link", "absent"]), CONTENTS)
TREES = st.dictionaries(NAMES, FILES, max_size=8)


def lay(top: Path, tree: dict[bytes, tuple[str, bytes]]) -> None:
    """Make the names of a tree what it says; those below a file made before are skipped."""
    for name, (kind, content) in tree.items():
        path = os.path.join(os.fsencode(top), name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
        if kind == "absent" or has_file_above(top, name):
            continue
        if kind == "link":
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(content.replace(b"\0", b"") or b"x", path)
        else:
            repo.write(top, name, content, mode=0o755 if kind == "executable" else 0o644)


def has_file_above(top: Path, name: bytes) -> bool:
    above = os.path.dirname(name)
    while above:
        path = os.path.join(os.fsencode(top), above)
        if os.path.islink(path) or os.path.isfile(path):
            return True
        above = os.path.dirname(above)
    return False


@given(first=TREES, dirty=TREES, committed=TREES, loose=TREES, staged=st.booleans())
@settings(max_examples=25)
def test_any_tree_changed_in_any_way_comes_back(
    first: dict[bytes, tuple[str, bytes]],
    dirty: dict[bytes, tuple[str, bytes]],
    committed: dict[bytes, tuple[str, bytes]],
    loose: dict[bytes, tuple[str, bytes]],
    staged: bool,
) -> None:
    """Import, change, commit, mess, export, apply: the same tree, bit for bit."""
    with tempfile.TemporaryDirectory() as directory:
        trip = new_trip(Path(directory))
        lay(trip.top, first)
        repo.commit(trip.top)
        lay(trip.top, dirty)
        prepare(trip)
        said = [line for line in repo.status(trip.top) if not line.startswith(b"??")]
        assert repo.status(trip.work) == said
        lay(trip.work, committed)
        repo.commit(trip.work)
        lay(trip.work, loose)
        if staged:
            repo.git(trip.work, "add", "--all")
        reproduces(trip)


# --- when it cannot be done --------------------------------------------------------


def test_a_workspace_that_is_gone_is_told(trip: Trip) -> None:
    prepare(trip)
    shutil.rmtree(trip.work)
    with pytest.raises(WorkspaceNotFound):
        trip.export()


def test_a_half_made_import_is_never_exported(trip: Trip) -> None:
    """The workspace appears by one rename; before that there is none."""
    prepare(trip)
    trip.work.rename(trip.work.with_name(".project.banger-import"))
    with pytest.raises(WorkspaceNotFound):
        trip.export()


def test_a_commit_that_is_gone_from_the_host_is_told(trip: Trip, tmp_path: Path) -> None:
    prepare(trip)
    shutil.rmtree(trip.top)
    repo.commit(repo.init(trip.top))
    with pytest.raises(RepositoryRefused, match="no longer in"):
        trip.export()
