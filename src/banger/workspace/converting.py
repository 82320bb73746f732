"""Convert the guest's files as the host's git would commit them, on top of any commit.

A file keeps the commit's blob if it was clean at the import, the guest did not touch it, and the
prepared commit has the same blob. Every other file is written into a private directory, where the
host's git adds and so converts it: line endings and encodings by the repository's settings and
attributes. Filters have no effect, since they have names but no commands (`shadow.py`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from banger.errors import ToolFailed
from banger.workspace.blobs import read_blobs
from banger.workspace.git import shadow_git
from banger.workspace.guesttree import GuestTree
from banger.workspace.names import parents, quoted
from banger.workspace.trees import (
    MODE_EXECUTABLE,
    MODE_GITLINK,
    MODE_SYMLINK,
    TreeEntry,
    list_index,
    list_tree,
    write_tree,
)

_ATTRIBUTES = b".gitattributes"


async def stage_onto(git_dir: Path, commit: str, prepared: str, tree: GuestTree) -> str:
    """Return the tree of `commit` with the guest's work tree applied.

    `git_dir` has the objects of both commits, of the base and of the guest's changes.
    """
    committed = await list_tree(git_dir, commit)
    before = committed if commit == prepared else await list_tree(git_dir, prepared)
    there = tree.work_tree
    clean = {file.name for file in tree.base.files if file.clean} - tree.changed.keys()
    # Files that a sparse checkout omits stay as in the commit.
    absent = tree.kept.union(tree.base.sparse) - tree.changed.keys()
    kept = {name for name in clean if committed.get(name) == before.get(name)}
    wanted = {name: entry for name, entry in there.items() if name not in kept}
    removed = [name for name in committed if name not in there and name not in absent]
    converted = await convert(git_dir, commit, wanted, rules=find_rules(there))
    return await write_tree(git_dir, commit, removed=removed, changed=converted.items())


def find_rules(files: Mapping[bytes, TreeEntry]) -> dict[bytes, TreeEntry]:
    """Return the `.gitattributes` files, which control the conversion of other files."""
    return {name: e for name, e in files.items() if name.rpartition(b"/")[2] == _ATTRIBUTES}


async def convert(
    git_dir: Path,
    commit: str,
    files: Mapping[bytes, TreeEntry],
    *,
    rules: Mapping[bytes, TreeEntry],
) -> dict[bytes, TreeEntry]:
    """Return the files as `git add` converts them on top of `commit`. Submodules stay unchanged.

    So does what git does not add: a content that its attributes exclude, such as UTF-16 without a
    byte order mark. `git apply` leaves it unconverted as well.
    """
    plain = {name: entry for name, entry in files.items() if entry.mode != MODE_GITLINK}
    if not plain:
        return dict(files)
    work = git_dir.parent / "work"
    await check_out(git_dir, work, {**rules, **plain})
    await shadow_git(git_dir, work, "read-tree", commit)
    try:
        await _add(git_dir, work, plain)
    except ToolFailed:
        plain = await _without_refused(git_dir, work, plain)
        await _add(git_dir, work, plain)
    made = await list_index(git_dir)
    await asyncio.to_thread(shutil.rmtree, work)
    return {name: made[name] if name in plain else entry for name, entry in files.items()}


async def _add(git_dir: Path, work: Path, names: Iterable[bytes]) -> None:
    """Add files to the index; if git refuses one, none is added.

    Raises:
        ToolFailed: git refuses one.
    """
    stdin = b"".join(name + b"\0" for name in names)
    add = ("update-index", "--add", "--replace", "-z", "--stdin")
    await shadow_git(git_dir, work, *add, stdin=stdin)


async def _without_refused(
    git_dir: Path, work: Path, files: Mapping[bytes, TreeEntry]
) -> dict[bytes, TreeEntry]:
    """Return the files without those that git would not add.

    Hashing does not convert these, so they have the hash of their own bytes, as have the files that
    need no conversion.
    """
    names = [name for name, entry in files.items() if entry.mode != MODE_SYMLINK]
    stdin = b"".join(quoted(name) + b"\n" for name in names)
    said = await shadow_git(git_dir, work, "hash-object", "--stdin-paths", stdin=stdin)
    hashes = dict(zip(names, said.stdout.decode("ascii").split(), strict=True))
    return {name: entry for name, entry in files.items() if hashes.get(name) != entry.blob}


async def check_out(git_dir: Path, work: Path, files: Mapping[bytes, TreeEntry]) -> None:
    """Write these files into the new directory `work`, byte for byte."""
    work.mkdir()
    if not files:
        return
    top = os.fsencode(work)
    for above in sorted({above for name in files for above in parents(name)}):
        os.mkdir(os.path.join(top, above))
    names = iter(sorted(files))
    wanted = [files[name].blob for name in sorted(files)]
    async for blob in read_blobs(git_dir, wanted, scratch=git_dir.parent):
        name = next(names)
        path = os.path.join(top, name)
        if files[name].mode == MODE_SYMLINK:
            os.symlink(b"".join([chunk async for chunk in blob]), path)
            continue
        mode = 0o755 if files[name].mode == MODE_EXECUTABLE else 0o644
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            async for chunk in blob:
                file.write(chunk)
            os.fchmod(fd, mode)
