"""Prepare the rest of an import besides the work tree's files: the pack of one commit or of all
history, the index, and for `--from` a checkout of another commit.

Works in a private temporary directory, with git in a shadow of the repository
(`shadow.py`); reads the repository's objects and writes nothing there. No lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from banger.errors import RepositoryRefused, ToolFailed
from banger.workspace.excluding import exclusion_of
from banger.workspace.facts import RepositoryFacts
from banger.workspace.git import shadow_git
from banger.workspace.listing import skip_entries
from banger.workspace.shadow import make_shadow, set_boundary, write_index
from banger.workspace.trees import list_index, list_tree

_SETTLED_S = 10
"""Seconds by which checked out files are dated back, so that no index entry is racily clean."""


@dataclass(frozen=True)
class Material:
    """The sources of an import. Valid as long as the temporary directory exists."""

    git_dir: Path
    tree: Path
    """The work tree whose tracked files are sent."""
    index: bytes | None
    index_mtime_s: int


async def gather_material(facts: RepositoryFacts, directory: Path) -> Material:
    """Return the tree and index to send; check out another commit first if needed."""
    git_dir = make_shadow(directory, facts.places, commit=facts.commit, settings=facts.settings)
    set_boundary(git_dir, facts.boundary)
    if not facts.other_commit:
        if facts.index is not None:
            write_index(git_dir, facts.index, mtime_ns=facts.index_mtime_s * 10**9)
        return Material(git_dir, facts.top, facts.index, facts.index_mtime_s)
    tree = directory / "tree"
    tree.mkdir()
    await _check_out(git_dir, tree, facts)
    index = git_dir / "index"
    return Material(git_dir, tree, index.read_bytes(), int(index.stat().st_mtime))


async def make_pack(facts: RepositoryFacts, material: Material) -> Path:
    """Pack the commit with its tree, everything staged, and all history if it is to be copied;
    return the path without suffix.

    Made as cheaply as possible: packed objects are copied unchanged, no deltas are searched, and
    loose objects are deflated at the lowest level.

    Raises:
        RepositoryRefused: an object is missing or broken.
    """
    prefix = material.git_dir / "objects/pack/pack"
    git_dir, tree = material.git_dir, material.tree
    with reading_objects(facts):
        # One object a line, instead of what to begin with.
        names = await list_objects(facts, git_dir, tree) if facts.lacks_objects else None
        made = await shadow_git(
            git_dir,
            tree,
            "pack-objects",
            "--quiet",
            *(("--revs", "--indexed-objects") if names is None else ()),
            "--window=0",
            "--compression=1",
            "--delta-base-offset",
            str(prefix),
            stdin=_starts(facts) if names is None else as_lines(names),
        )
    return prefix.with_name(f"pack-{made.text.strip()}")


@contextlib.contextmanager
def reading_objects(facts: RepositoryFacts) -> Iterator[None]:
    """Refuse the repository if git fails in the block."""
    try:
        yield
    except ToolFailed as error:
        raise RepositoryRefused(
            f"Objects of commit {facts.commit[:12]} or of the index cannot be read in {facts.top}.",
            hint=f"git -C {facts.top} fsck",
            details=error.details,
        ) from error


async def list_objects(facts: RepositoryFacts, git_dir: Path, tree: Path) -> list[bytes]:
    """Return the names of the objects to pack, without the contents of excluded files.

    What a kept file of the commit or of the index has as well is packed.
    """
    walk = ("rev-list", "--objects", "--indexed-objects", "--stdin")
    listed = (await shadow_git(git_dir, tree, *walk, stdin=_starts(facts))).stdout
    paths = dict(line.partition(b" ")[::2] for line in listed.splitlines())
    files = [
        *(await list_tree(git_dir, facts.commit)).items(),
        *(await list_index(git_dir)).items(),
    ]
    exclusion = exclusion_of(facts, git_dir.parent)
    excluded = await exclusion.find({*paths.values(), *(name for name, _ in files)})
    gone = {entry.blob.encode() for name, entry in files if name in excluded}
    among = [oid for oid, path in paths.items() if path in excluded]
    gone |= (await blob_sizes(git_dir, tree, among)).keys()
    gone -= {entry.blob.encode() for name, entry in files if name not in excluded}
    return [oid for oid in paths if oid not in gone]


async def blob_sizes(git_dir: Path, tree: Path, names: Iterable[bytes]) -> dict[bytes, int]:
    """Return those of the objects that are the contents of files, with their sizes in bytes."""
    ask = ("cat-file", "--batch-check=%(objecttype) %(objectname) %(objectsize)", "--buffer")
    told = (await shadow_git(git_dir, tree, *ask, stdin=as_lines(names))).stdout.splitlines()
    blobs = (line.split()[1:] for line in told if line.startswith(b"blob "))
    return {name: int(size) for name, size in blobs}


def as_lines(names: Iterable[bytes]) -> bytes:
    """Return the names of objects as git reads them."""
    return b"".join(name + b"\n" for name in names)


def _starts(facts: RepositoryFacts) -> bytes:
    """Return the objects that are packed with everything that they need."""
    refs = facts.history.refs if facts.history else ()
    targets = (ref.target for ref in refs if not ref.is_symbolic)
    return as_lines(name.encode() for name in (facts.commit, *targets))


async def _check_out(git_dir: Path, tree: Path, facts: RepositoryFacts) -> None:
    """Write the commit's files into `tree`, and an index with their stat data."""
    await shadow_git(git_dir, tree, "read-tree", facts.commit)
    await skip_entries(git_dir, tree, facts.excluded)
    await shadow_git(git_dir, tree, "checkout-index", "--all", "--quiet", "--force")
    await asyncio.to_thread(_date_back, tree, int(time.time()) - _SETTLED_S)
    await shadow_git(git_dir, tree, "update-index", "-q", "--refresh")


def _date_back(tree: Path, mtime_s: int) -> None:
    for directory, _, names in os.walk(os.fsencode(tree)):
        for name in names:
            path = os.path.join(directory, name)
            os.utime(path, (mtime_s, mtime_s), follow_symlinks=False)
