"""Choose the LFS objects of a full copy: those that something copied names.

So what only a stash, a reference that stays or an excluded file names is not copied, nor what
git lfs made of uncommitted changes of one. Reads objects with git in a shadow of the repository,
whose boundary it writes. Takes no lock.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from banger.workspace.facts import RepositoryFacts
from banger.workspace.git import shadow_git
from banger.workspace.packing import as_lines, blob_sizes, list_objects, reading_objects
from banger.workspace.shadow import set_boundary

_POINTER_BYTES_MAX = 1024
"""The limit of git lfs (docs/spec.md of its repository)."""
_NAMED = re.compile(rb"^oid sha256:([0-9a-f]{64})\r?$", re.MULTILINE)
_BLOBS_AT_ONCE = 20_000


async def choose_large_files(facts: RepositoryFacts, git_dir: Path) -> RepositoryFacts:
    """Return the facts without the LFS objects that nothing names of what is copied.

    Raises:
        RepositoryRefused: an object is missing or broken.
    """
    history = facts.history
    if not (history and history.large_files):
        return facts
    set_boundary(git_dir, facts.boundary)
    with reading_objects(facts):
        named = await _find_named(facts, git_dir)
    chosen = tuple(file for file in history.large_files if file.name.rpartition(b"/")[2] in named)
    return replace(facts, history=replace(history, large_files=chosen))


async def _find_named(facts: RepositoryFacts, git_dir: Path) -> set[bytes]:
    """Return the names of the LFS objects that a pointer in the pack names."""
    sizes = await blob_sizes(git_dir, facts.top, await list_objects(facts, git_dir, facts.top))
    small = [blob for blob, size in sizes.items() if size <= _POINTER_BYTES_MAX]
    named: set[bytes] = set()
    for start in range(0, len(small), _BLOBS_AT_ONCE):
        stdin = as_lines(small[start : start + _BLOBS_AT_ONCE])
        read = await shadow_git(git_dir, facts.top, "cat-file", "--batch", "--buffer", stdin=stdin)
        named.update(_NAMED.findall(read.stdout))
    return named
