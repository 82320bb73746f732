"""Check a guest's commits before they reach the repository (hazard E1).

A shadow git directory borrows the repository's objects and holds the guest's pack; git checks
every object, link and name there (`index-pack --strict`). Only a pack that has passed is added to
the repository.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from banger.errors import ToolFailed, UnsafeBranch
from banger.model.vm import WorkspaceRecord
from banger.workspace.git import index_pack, shadow_git
from banger.workspace.guestcommits import PACK_BYTES_MAX
from banger.workspace.listing import parse_tree
from banger.workspace.locate import Places
from banger.workspace.names import is_safe_name


async def verify_commits(
    git_dir: Path, places: Places, record: WorkspaceRecord, *, commit: str, pack: Path
) -> None:
    """Check the guest's commits in quarantine.

    Raises:
        UnsafeBranch: the commits are broken, contain names that no work tree may have, or do not
            descend from the prepared commit.
    """
    try:
        if pack.exists():
            await store_pack(pack, places, quarantine=git_dir)
        await shadow_git(
            git_dir, places.top, "rev-list", "--objects", "--quiet", commit, f"^{record.commit}"
        )
        tree = await shadow_git(git_dir, places.top, "ls-tree", "-r", "-z", "--long", commit)
    except ToolFailed as error:
        raise UnsafeBranch(
            "The commits that the guest sent are broken or contain names that git forbids.",
            details=error.details,
        ) from error
    for name in parse_tree(tree.stdout)[0]:
        if not is_safe_name(name):
            raise UnsafeBranch(f"The guest's commit contains the name {name!r}.")
    if not await is_ancestor(git_dir, places, record.commit, commit):
        raise UnsafeBranch(
            f"The guest's history does not build on the prepared commit {record.commit[:12]}.",
            hint="export the changes as a patch instead (leave out --branch)",
        )


async def count_commits(
    git_dir: Path, places: Places, prepared: str, commit: str
) -> tuple[int, int]:
    """Return the number of new commits, and the number of files that they change."""
    counted = await shadow_git(git_dir, places.top, "rev-list", "--count", commit, f"^{prepared}")
    changed = await shadow_git(
        git_dir,
        places.top,
        *("diff-tree", "-r", "-z", "--name-only", "--no-renames", prepared, commit),
    )
    return int(counted.text), changed.stdout.count(b"\0")


async def store_pack(pack: Path, places: Places, *, quarantine: Path | None = None) -> None:
    """Add a pack to the quarantine, or to the repository itself."""
    with await asyncio.to_thread(open, pack, "rb") as file:
        await index_pack(places.top, file, quarantine=quarantine, limit_bytes=PACK_BYTES_MAX)


async def is_ancestor(git_dir: Path, places: Places, ancestor: str, commit: str) -> bool:
    tested = await shadow_git(
        git_dir, places.top, "merge-base", "--is-ancestor", ancestor, commit, ok=(0, 1, 128)
    )
    return tested.status == 0
