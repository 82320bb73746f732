"""The guest's work tree as a tree of the host's git, byte for byte, with notices about the rest.

Writes nothing in the guest (hazard A4), and runs the guest's git only for the tracked names and the
commits of submodules: without git, with a full disk, or with `.git` gone, the files can still be
exported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from banger.errors import (
    GuestPathNotFound,
    GuestProtocolError,
    RepositoryRefused,
    WorkspaceNotFound,
)
from banger.guest import GuestFiles
from banger.model.vm import WorkspaceRecord
from banger.workspace.base import Base, BaseFile, Seen, entries_of, load_base
from banger.workspace.excluding import Exclusion
from banger.workspace.gathering import gather
from banger.workspace.guesttracked import (
    Tracked,
    has_submodule_changes,
    load_tracked,
    read_submodule_head,
)
from banger.workspace.ignoring import IgnoreRules
from banger.workspace.locate import Places
from banger.workspace.names import parents
from banger.workspace.trees import (
    MODE_EXECUTABLE,
    MODE_FILE,
    MODE_GITLINK,
    REGULAR,
    Entries,
    TreeEntry,
    list_tree,
)
from banger.workspace.walking import Findings, read_small, walk
from banger.workspace.workspacenotices import sum_up

_STASH = (b".git/refs/stash", b".git/logs/refs/stash")


@dataclass(frozen=True)
class GuestTree:
    """The guest's changes to the base."""

    base: Base
    changed: Entries
    """Changed and new files, with blobs of exactly the guest's bytes."""
    removed: frozenset[bytes]
    """Names of the base that are gone, or that now name something else."""
    kept: frozenset[bytes] = field(default_factory=frozenset)
    """Names that the guest's sparse checkout omits from the work tree."""
    notices: tuple[str, ...] = ()
    read: Mapping[bytes, Seen] = field(default_factory=dict)
    """The stat(2) of each file that was read, from before that; some are as in the base."""
    other: frozenset[bytes] = frozenset()
    """Names of what cannot be exported: pipes, sockets, devices, unsafe names."""

    @property
    def work_tree(self) -> Entries:
        """The guest's whole work tree, in the guest's own bytes."""
        gone = self.removed | self.kept
        files = (file for file in self.base.files if file.name not in gone)
        return entries_of(files) | self.changed

    @property
    def is_untouched(self) -> bool:
        return not self.changed and not self.removed


async def read_guest_tree(
    guest: GuestFiles,
    record: WorkspaceRecord,
    base: Base,
    git_dir: Path,
    *,
    places: Places,
    deadline_s: float,
) -> GuestTree:
    """Return the differences from the base; store their blobs in `git_dir`, a shadow of that base.

    Raises:
        WorkspaceNotFound: the workspace's directory is gone from the guest.
        ExportTooLarge: the work tree exceeds the limits of an export.
    """
    path = record.guest_path
    rules = None if base.is_plain else IgnoreRules(git_dir, git_dir.parent / "mirror")
    exclusion = Exclusion(base.patterns, git_dir.parent, places, record.commit)
    try:
        found = await walk(guest, path, base, rules, exclusion, deadline_s=deadline_s)
    except GuestPathNotFound as error:
        raise WorkspaceNotFound(
            f"The workspace {path} is no longer in the guest.",
            hint="banger vm workspace prepare VM PATH",
        ) from error
    tracked = await _ask_tracked(guest, path, base, found)
    files = {file.name: file for file in base.files}
    names = found.to_read + await _find_unseen(files.keys(), found, tracked, exclusion)
    read = await gather(
        guest, path, names, git_dir, object_format=places.object_format, deadline_s=deadline_s
    )
    moved, busy = await _look_at_submodules(guest, path, files, found)
    changed = {n: _keep_mode(each.entry, files.get(n)) for n, each in read.items()} | moved
    same = {name for name, e in changed.items() if _is_same(e, files.get(name))}
    there = found.unchanged.union(changed, found.submodules)
    _require_tree(changed, there)
    return GuestTree(
        base,
        {name: entry for name, entry in changed.items() if name not in same},
        frozenset(files.keys() - there - tracked.skipped),
        tracked.skipped,
        sum_up(
            base,
            found,
            moved_submodules=sorted(moved),
            busy_submodules=busy,
            stash=await _has_stash(guest, path, deadline_s),
        ),
        {name: each.seen for name, each in read.items()},
        frozenset((*found.special, *found.unsafe)),
    )


async def load_base_of(record: WorkspaceRecord, bases: Path, git_dir: Path) -> Base:
    """Return the base of a workspace, or else a base made of the commit, without stat data.

    An older banger kept no base, and a missing base must not make the guest's work unreachable.
    """
    if record.is_plain:
        return load_base(bases, record.base or "")
    if record.base is not None:
        with contextlib.suppress(RepositoryRefused):
            return load_base(bases, record.base)
    committed = await list_tree(git_dir, record.commit)
    files = [BaseFile(name, e.mode, e.blob) for name, e in sorted(committed.items())]
    return Base(f"{record.commit}^{{tree}}", files, is_commit=True)


def _require_tree(changed: Iterable[bytes], there: Set[bytes]) -> None:
    """Check that no file lies below another file or a link (hazard E1).

    Raises:
        GuestProtocolError: the guest lies.
    """
    for name in changed:
        if not there.isdisjoint(parents(name)):
            raise GuestProtocolError(f"The guest named a file as a directory, above {name!r:.200}.")


async def _ask_tracked(guest: GuestFiles, path: str, base: Base, found: Findings) -> Tracked:
    """Return the names tracked by the guest's git; run it only if a file is ignored or missing."""
    there = len(found.unchanged) + len(found.submodules)
    there += len({file.name for file in base.files}.intersection(found.to_read))
    if not base.is_plain and (found.some_ignored or there < len(base.files)):
        return await load_tracked(guest, path)
    return Tracked()


async def _find_unseen(
    base: Set[bytes], found: Findings, tracked: Tracked, exclusion: Exclusion
) -> list[bytes]:
    """Return the new names that the guest's git tracks though its patterns ignore them."""
    if not tracked.names:
        return []
    known = found.unchanged.union(found.to_read, found.submodules)
    unseen = tracked.names - known - tracked.skipped - base
    unseen -= await exclusion.find(unseen)
    return sorted(name for name in unseen if not known.intersection(parents(name)))


def _keep_mode(entry: TreeEntry, file: BaseFile | None) -> TreeEntry:
    """Return the entry with the base's mode, unless the guest changed the file's mode.

    The two modes differ if the host's git does not trust modes.
    """
    if file is None or file.seen is None or {entry.mode, file.mode} - REGULAR:
        return entry
    put_in = MODE_EXECUTABLE if file.seen.mode & 0o100 else MODE_FILE
    return TreeEntry(file.mode, entry.blob) if entry.mode == put_in else entry


def _is_same(entry: TreeEntry, file: BaseFile | None) -> bool:
    return file is not None and (entry.mode, entry.blob) == (file.mode, file.blob)


async def _look_at_submodules(
    guest: GuestFiles, path: str, files: dict[bytes, BaseFile], found: Findings
) -> tuple[dict[bytes, TreeEntry], list[bytes]]:
    """Return the submodules at another commit, and the submodules with uncommitted changes."""
    moved: dict[bytes, TreeEntry] = {}
    busy: list[bytes] = []
    if not found.submodules:
        return moved, busy
    entries = await guest.list_directories(path, found.submodules, deadline_s=60.0)
    full = {entry.name.rpartition(b"/")[0] for entry in entries}
    with_git = {e.name.rpartition(b"/")[0] for e in entries if e.name.endswith(b"/.git")}
    for name in sorted(full.intersection(found.submodules)):
        below = f"{path}/{name.decode('utf-8', 'surrogateescape')}"
        head = await read_submodule_head(guest, below) if name in with_git else None
        if head is None:
            busy.append(name)
            continue
        if head != files[name].blob and len(head) == len(files[name].blob):
            moved[name] = TreeEntry(MODE_GITLINK, head)
        if await has_submodule_changes(guest, below):
            busy.append(name)
    return moved, busy


async def _has_stash(guest: GuestFiles, path: str, deadline_s: float) -> bool:
    return bool(await read_small(guest, path, _STASH, deadline_s=deadline_s))
