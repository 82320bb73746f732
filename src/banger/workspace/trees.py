"""Write and list trees of a private git directory with the host's own git."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from banger.workspace.git import shadow_git

MODE_FILE, MODE_EXECUTABLE, MODE_SYMLINK, MODE_GITLINK = 0o100644, 0o100755, 0o120000, 0o160000
REGULAR = frozenset({MODE_FILE, MODE_EXECUTABLE})


class TreeEntry(NamedTuple):
    """An entry of a git tree."""

    mode: int
    blob: str


Entries = dict[bytes, TreeEntry]


async def list_index(git_dir: Path) -> Entries:
    """Return all entries of a git directory's index, by name."""
    listed = await shadow_git(git_dir, git_dir, "ls-files", "--stage", "-z")
    found: Entries = {}
    for record in listed.stdout.split(b"\0")[:-1]:
        facts, _, name = record.partition(b"\t")
        mode, blob, _ = facts.split()
        found[name] = TreeEntry(int(mode, 8), blob.decode("ascii"))
    return found


async def list_tree(git_dir: Path, tree: str) -> Entries:
    """Return all entries of a commit or tree, by name, without directories."""
    listed = await shadow_git(git_dir, git_dir, "ls-tree", "-r", "-z", "--full-tree", tree)
    found: Entries = {}
    for record in listed.stdout.split(b"\0")[:-1]:
        facts, _, name = record.partition(b"\t")
        mode, _, blob = facts.split()
        found[name] = TreeEntry(int(mode, 8), blob.decode("ascii"))
    return found


async def stage(
    git_dir: Path,
    like: str,
    *,
    removed: Iterable[bytes] = (),
    changed: Iterable[tuple[bytes, TreeEntry]] = (),
) -> None:
    """Apply removals, then changes, to a git directory's index. `like`: an id of the repository."""
    # Git refuses the line unless the null id is as long as the repository's ids.
    gone = b"0" * len(like)
    lines = [b"0 %s\t%s\0" % (gone, name) for name in removed]
    lines += [b"%o %s\t%s\0" % (e.mode, e.blob.encode(), name) for name, e in changed]
    if lines:
        stdin = b"".join(lines)
        await shadow_git(git_dir, git_dir, "update-index", "-z", "--index-info", stdin=stdin)


async def write_tree(
    git_dir: Path,
    onto: str,
    *,
    removed: Iterable[bytes] = (),
    changed: Iterable[tuple[bytes, TreeEntry]] = (),
) -> str:
    """Apply removals, then changes, to the tree of `onto`; return the new tree's id.

    `onto` is an object's id, optionally with `^{tree}`. Uses the git directory's index, and
    leaves the new tree there.
    """
    await shadow_git(git_dir, git_dir, "read-tree", onto)
    await stage(git_dir, onto.partition("^")[0], removed=removed, changed=changed)
    return (await shadow_git(git_dir, git_dir, "write-tree")).text.strip()
