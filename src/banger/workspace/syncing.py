"""Sync a workspace both ways: plan (`syncplan.py`), then write in the guest, then on the host.

What does not conflict is copied; conflicts stay on both sides as they are, and are named. The base
of a workspace is the tree as both sides last agreed, so each sync makes a new one, and exports
compare with that from then on. It is published last, after both sides are on their disks: if this
process dies before, the next sync finds what was copied alike on both sides, and goes on.

Neither side's index, HEAD or commits are touched. What the guest sent is in a private git directory
by then, with names that were checked (hazard E1). The caller holds the workspace lock.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from banger.errors import ChangesConflict, InvalidRequest, RepositoryRefused
from banger.guest import GuestFiles
from banger.host.files import space_errors
from banger.model.sides import Side
from banger.model.vm import WorkspaceRecord
from banger.workspace.base import Seen, entries_of, modes_that_count, new_base_id, seen_of
from banger.workspace.basemaking import PutIn
from banger.workspace.blobs import BlobPack, index_blobs
from banger.workspace.converting import check_out
from banger.workspace.exporting import Comparison, find_changes, open_comparison
from banger.workspace.facts import FileKind, RepositoryFacts
from banger.workspace.gitindex import parse_index
from banger.workspace.guestside import NOT_OF_BASE, change_guest, is_of_base, write_marks
from banger.workspace.guesttree import GuestTree
from banger.workspace.hostfiles import read_host_files
from banger.workspace.hostside import change_host, look_at_host, pack_host_files
from banger.workspace.names import is_unfinished
from banger.workspace.status import inspect_host
from banger.workspace.syncbase import publish_base, renew_files
from banger.workspace.syncplan import (
    ConflictKind,
    SideChanges,
    SideFiles,
    SyncConflict,
    SyncPlan,
    plan_sync,
)
from banger.workspace.trees import MODE_GITLINK, MODE_SYMLINK, Entries, TreeEntry

_PACK = "objects/pack/pack-host.pack"


@dataclass(frozen=True)
class Synced:
    """The result of a sync, or of a plan of one."""

    base: str | None
    """The id of the new base; None if the old one still holds."""
    host: SideChanges
    guest: SideChanges
    conflicts: tuple[SyncConflict, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Sides:
    """What takes part: no submodules, nothing unfinished or that a sparse checkout omits."""

    base: Entries
    host: SideFiles
    host_seen: Mapping[bytes, Seen]
    guest: SideFiles
    guest_seen: Mapping[bytes, Seen]
    left_out: frozenset[bytes]


async def sync_workspace(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    bases: Path,
    deadline_s: float,
    prefer: Side | None = None,
    names: Collection[bytes] = (),
    check: bool = False,
    scratch: Path | None = None,
) -> Synced:
    """Copy what one side changed since they last agreed to the other.

    `prefer`: also replace files in conflict, by those of this side; only of these `names` and below
    them, if any are given. `check`: write nothing.

    Raises:
        ChangesConflict: one side has lost all its files.
        InvalidRequest: the workspace is read-only.
        RepositoryRefused: the host's directory is gone, cannot be read, or was not what was copied.
        GuestRefused, NoSpace, HostFailed: a file could not be written; others may have been.
        others: as `exporting.export_patch`.
    """
    async with open_comparison(record, bases=bases, scratch=scratch) as compared:
        _require_syncable(record, compared)
        tree = await find_changes(guest, record, compared, deadline_s=deadline_s)
        facts = await inspect_host(record, scratch)
        sides = await asyncio.to_thread(_read_sides, facts, compared, tree)
        _require_files(record, sides)
        notices = [*tree.notices, *_notices(record, facts, sides.base)]
        if not await is_of_base(guest, record, compared.base):
            sides = replace(sides, base={})
            notices.append(_RESTORED)
        plan = plan_sync(sides.base, sides.host, sides.guest, prefer=prefer, names=names)
        done = Synced(None, plan.host, plan.guest, plan.conflicts)
        if not check:
            with space_errors(Path(record.host_path)):
                work = _Work(guest, record, compared, sides, plan, deadline_s)
                done = await _carry_out(work, bases)
        return replace(done, notices=tuple(notices))


_RESTORED = (
    f"{NOT_OF_BASE}: files that differ are conflicts, and files that one side has deleted come "
    "back."
)


def _require_syncable(record: WorkspaceRecord, compared: Comparison) -> None:
    if record.is_read_only:
        raise InvalidRequest(
            f"The workspace {record.guest_path} is read-only: there is nothing to sync.",
            hint="banger vm exec VM --auto-prepare -- COMMAND (copies again what changed)",
        )
    if compared.base.is_commit or compared.base.is_other_commit:
        raise RepositoryRefused(
            f"The workspace is not a copy of the files in {record.host_path}, but of a commit.",
            hint="banger vm workspace diff VM",
        )


def _require_files(record: WorkspaceRecord, sides: _Sides) -> None:
    """Check that no side has lost everything: hardly anybody wants that copied.

    Raises:
        ChangesConflict: one has.
    """
    lost = "guest" if not sides.guest.entries else "host" if not sides.host.entries else ""
    if sides.base and lost and (sides.guest.entries or sides.host.entries):
        raise ChangesConflict(
            f"Every file of the workspace {record.guest_path} is gone from the {lost}; nothing "
            "was deleted on the other side.",
            hint="banger vm workspace status VM",
        )


def _notices(record: WorkspaceRecord, facts: RepositoryFacts, base: Entries) -> list[str]:
    notices = []
    if not facts.is_plain and facts.head_commit != record.commit:
        notices.append("The host is at another commit: a sync copies files, not commits.")
    if not facts.untracked_included and (left := [n for n in facts.untracked if n not in base]):
        notices.append(f"Untracked files of the host not copied: {len(left)} (git add -N FILE).")
    return notices


def _read_sides(facts: RepositoryFacts, compared: Comparison, tree: GuestTree) -> _Sides:
    base = entries_of(tree.base.files)
    offered = {f.name for f in facts.files if f.kind in (FileKind.FILE, FileKind.SYMLINK)}
    theirs = tree.work_tree
    links = _find_links(facts, base, theirs)
    known = (offered | base.keys()) - links
    host = read_host_files(
        facts.top,
        known | (tree.changed.keys() - links),
        compared.places.object_format,
        modes=modes_that_count(tree.base),
    )
    omitted = _find_omitted(facts) - host.entries.keys()
    left_out = links | omitted | (tree.kept - theirs.keys())
    left_out |= {name for name in (*host.entries, *theirs) if is_unfinished(name)}
    return _Sides(
        _without(base, left_out),
        SideFiles(
            _without(host.entries, left_out),
            host.other,
            host.below,
            frozenset(host.entries.keys() - known),
        ),
        host.seen,
        SideFiles(_without(theirs, left_out), tree.other),
        {f.name: f.seen for f in tree.base.files if f.seen and f.name in theirs} | dict(tree.read),
        frozenset(left_out),
    )


def _without(entries: Mapping[bytes, TreeEntry], names: Set[bytes]) -> Entries:
    return {name: entry for name, entry in entries.items() if name not in names}


def _find_links(facts: RepositoryFacts, *sides: Mapping[bytes, TreeEntry]) -> set[bytes]:
    """Return the names of submodules on any side."""
    ours = {file.name for file in facts.files if file.kind is FileKind.GITLINK}
    return ours.union(n for side in sides for n, e in side.items() if e.mode == MODE_GITLINK)


def _find_omitted(facts: RepositoryFacts) -> set[bytes]:
    """Return the names that a sparse checkout of the host may omit."""
    if facts.index is None:
        return set()
    entries = parse_index(facts.index, facts.places.object_format)
    return {entry.name for entry in entries if entry.skip_worktree}


@dataclass(frozen=True)
class _Work:
    """A plan, and what is needed to carry it out."""

    guest: GuestFiles
    record: WorkspaceRecord
    compared: Comparison
    sides: _Sides
    plan: SyncPlan
    deadline_s: float

    @property
    def top(self) -> Path:
        return Path(self.record.host_path)

    @property
    def git_dir(self) -> Path:
        return self.compared.git_dir


async def _carry_out(work: _Work, bases: Path) -> Synced:
    """Change both sides, then publish the base."""
    failed = await _fetch(work)
    put_in, left = await _change_guest(work, _without_names(work.plan.guest, failed))
    failed |= left | await _change_host(work)
    late = (SyncConflict(name, ConflictKind.CHANGED_MEANWHILE) for name in failed)
    return Synced(
        await _save(work, failed, put_in, bases),
        _without_names(work.plan.host, failed),
        _without_names(work.plan.guest, failed),
        tuple(sorted((*work.plan.conflicts, *late), key=lambda each: each.name)),
    )


def _without_names(changes: SideChanges, names: Set[bytes]) -> SideChanges:
    return SideChanges(_without(changes.write, names), changes.remove - names)


async def _fetch(work: _Work) -> frozenset[bytes]:
    """Pack the host's files that go to the guest; return the names that have changed meanwhile."""
    wanted, path = work.plan.guest.write, work.git_dir / _PACK
    if not wanted:
        return frozenset()
    with await asyncio.to_thread(open, path, "w+b") as output:
        pack = BlobPack(output, work.compared.places.object_format, level=0)
        failed = await asyncio.to_thread(pack_host_files, work.top, wanted, pack)
    await index_blobs(work.git_dir, path)
    return failed


async def _change_guest(work: _Work, changes: SideChanges) -> tuple[PutIn, frozenset[bytes]]:
    made = work.git_dir.parent / "to-guest"
    await check_out(work.git_dir, made, changes.write)
    for name, entry in changes.write.items():
        if entry.mode != MODE_SYMLINK:
            mode = work.sides.host_seen[name].mode & 0o777
            os.chmod(os.path.join(os.fsencode(made), name), mode)
    return await change_guest(
        work.guest,
        work.record.guest_path,
        changes,
        work.sides.guest_seen,
        made,
        deadline_s=work.deadline_s,
    )


async def _change_host(work: _Work) -> frozenset[bytes]:
    made = work.git_dir.parent / "to-host"
    await check_out(work.git_dir, made, work.plan.host.write)
    return await asyncio.to_thread(
        change_host, work.top, work.plan.host, work.sides.host_seen, made
    )


async def _save(work: _Work, failed: Set[bytes], put_in: PutIn, bases: Path) -> str | None:
    """Publish the base of what both sides have now; return its id, or None if nothing differs."""
    base, sides = work.compared.base, work.sides
    written = {name: put_in.find(name) for name in put_in.sent}
    guest_seen = {**sides.guest_seen, **{n: e and seen_of(e) for n, e in written.items()}}
    host_written = work.plan.host.write.keys() - failed
    host_seen = await asyncio.to_thread(look_at_host, work.top, host_written)
    in_conflict = {n for n in sides.base if n in failed or n not in work.plan.agreed}
    files = renew_files(
        base,
        work.plan.next_base(sides.base, failed),
        kept=sides.left_out | in_conflict,
        guest_seen=guest_seen,
        host_seen={**sides.host_seen, **host_seen},
    )
    if files == base.files:
        return None
    base_id = new_base_id()
    record = work.record
    marks = [base_id, record.base or ""]
    await write_marks(work.guest, record.guest_path, marks, deadline_s=work.deadline_s)
    await publish_base(work.git_dir, record.commit, base, files, bases / base_id)
    return base_id
