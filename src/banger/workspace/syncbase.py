"""The base after a sync: both sides as they agree now, and as before where they conflict.

As `basemaking.py`, but of files that are all in a private git directory. Published by one rename.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from pathlib import Path

from msgspec.structs import replace

from banger.host.files import ensure_private_dir, publish_dir
from banger.workspace.base import Base, BaseFile, Seen, encode_base, entries_of
from banger.workspace.git import shadow_git
from banger.workspace.trees import Entries, write_tree


def renew_files(
    base: Base,
    entries: Entries,
    *,
    kept: Set[bytes],
    guest_seen: Mapping[bytes, Seen | None],
    host_seen: Mapping[bytes, Seen],
) -> list[BaseFile]:
    """Return the files of the next base; those named in `kept` are as in this one. Pure."""
    old = {file.name: file for file in base.files}
    files = [old[name] for name in kept if name in old]
    for name, entry in entries.items():
        if name in kept:
            continue
        before = old.get(name)
        same = before is not None and (before.mode, before.blob) == entry
        clean = same and before is not None and before.clean
        host = host_seen.get(name)
        mtime_s = None if host is None else host.mtime_ns // 10**9
        files.append(BaseFile(name, entry.mode, entry.blob, guest_seen.get(name), clean, mtime_s))
    return sorted(files, key=lambda file: file.name)


async def publish_base(
    git_dir: Path, commit: str, base: Base, files: list[BaseFile], target: Path
) -> None:
    """Publish the base with these files, whose contents `git_dir` has, as `target`."""
    before, now = entries_of(base.files), entries_of(files)
    changed = [(name, entry) for name, entry in now.items() if before.get(name) != entry]
    removed = before.keys() - now.keys()
    tree = await write_tree(git_dir, base.tree, removed=removed, changed=changed)
    # What the host's repository has is not packed; a plain directory has none.
    there = "" if base.is_plain else f"^{commit}^{{tree}}\n"
    staged = ensure_private_dir(git_dir.parent / "staged")
    packs = ensure_private_dir(staged / "objects/pack")
    await shadow_git(
        git_dir,
        git_dir,
        *("pack-objects", "--quiet", "--revs", "--non-empty", "--window=0", f"{packs}/pack"),
        stdin=f"{tree}\n{there}".encode(),
    )
    sparse = [name for name in base.sparse if name not in now]
    made = replace(base, tree=tree, files=files, sparse=sparse, is_marked=True)
    (staged / "manifest").write_bytes(encode_base(made))
    await asyncio.to_thread(publish_dir, staged, target)
