"""Apply a guest's changes to the host's files: plan (`merging.py`), merge, write (`hostfiles.py`).

The result is what `git apply --3way` of an export would give, but from contents: nothing is
converted, no attribute or setting of the repository is read, and neither the index nor HEAD is
touched. With a conflict nothing is written, unless it is asked for: then files with conflicts get
git's marks, and what cannot be marked stays as the host has it.

Everything that the guest sent is in a private git directory by then, with names that were checked
(hazard E1). The caller holds the workspace lock.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from banger.errors import RepositoryRefused
from banger.guest import GuestFiles
from banger.model.vm import WorkspaceRecord
from banger.workspace.base import entries_of, modes_that_count
from banger.workspace.converting import check_out
from banger.workspace.exporting import Comparison, find_changes, open_comparison
from banger.workspace.git import shadow_git
from banger.workspace.guestside import NOT_OF_BASE, is_of_base
from banger.workspace.guesttree import GuestTree
from banger.workspace.hostfiles import (
    changed_meanwhile,
    copy_host_file,
    read_host_files,
    remove_files,
    write_files,
)
from banger.workspace.merging import ApplyPlan, Conflict, HostFiles, Merge, Reason, plan_apply
from banger.workspace.trees import TreeEntry

_LABELS = ("-L", "host", "-L", "as copied", "-L", "guest")
_CONFLICTS_MAX = 127
"""The status of `git merge-file` is the number of conflicts up to this; beyond, it has failed, as
for binary files."""


@dataclass(frozen=True)
class Applied:
    """The result of an apply."""

    done: bool
    """False: there are conflicts, and nothing was written."""
    written: tuple[bytes, ...]
    removed: tuple[bytes, ...]
    merged: tuple[bytes, ...]
    there: tuple[bytes, ...]
    conflicts: tuple[Conflict, ...]
    marked: tuple[bytes, ...]
    """Files with conflicts that now have git's marks in them."""
    notices: tuple[str, ...]


@dataclass
class _Merged:
    """The contents of merged files, by name."""

    clean: dict[bytes, bytes] = field(default_factory=dict)
    marked: dict[bytes, bytes] = field(default_factory=dict)
    impossible: list[bytes] = field(default_factory=list)


async def apply_changes(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    bases: Path,
    deadline_s: float,
    with_marks: bool = False,
    check: bool = False,
    scratch: Path | None = None,
) -> Applied:
    """Apply what the guest changed since the prepare to the host's files.

    `with_marks`: write also if there are conflicts. `check`: write nothing.

    Raises:
        RepositoryRefused: the host's directory is gone or cannot be read.
        CopyRefused, NoSpace, OperationFailed: a file could not be written; others may have been.
        others: as `exporting.export_patch`.
    """
    top = Path(record.host_path)
    if not top.is_dir():
        raise RepositoryRefused(f"{top} is no longer a directory.", hint=f"ls -ld {top}")
    async with open_comparison(record, bases=bases, scratch=scratch) as compared:
        tree = await find_changes(guest, record, compared, deadline_s=deadline_s)
        host = await asyncio.to_thread(_read, top, compared, tree)
        notices = list(tree.notices)
        base = entries_of(tree.base.files)
        if not await is_of_base(guest, record, compared.base):
            base = {}
            notices.append(f"{NOT_OF_BASE}: files that differ from the host's are conflicts.")
        plan = plan_apply(base, tree.changed, tree.removed, host)
        merged = await _merge_all(compared.git_dir, top, plan)
        conflicts = _all_conflicts(plan, merged)
        done = not check and (with_marks or not conflicts)
        if done:
            if host != await asyncio.to_thread(_read, top, compared, tree):
                raise changed_meanwhile(top)
            await _write(top, compared.git_dir, plan, merged)
        return Applied(
            done=done,
            written=tuple(plan.write),
            removed=plan.remove,
            merged=tuple(sorted(merged.clean)),
            there=plan.there,
            conflicts=conflicts,
            marked=tuple(sorted(merged.marked)) if done else (),
            notices=tuple(notices),
        )


def _read(top: Path, compared: Comparison, tree: GuestTree) -> HostFiles:
    return read_host_files(
        top,
        (*tree.changed, *tree.removed),
        compared.places.object_format,
        modes=modes_that_count(tree.base),
    )


def _all_conflicts(plan: ApplyPlan, merged: _Merged) -> tuple[Conflict, ...]:
    both = (Conflict(name, Reason.BOTH_CHANGED) for name in (*merged.marked, *merged.impossible))
    return tuple(sorted((*plan.conflicts, *both), key=lambda each: each.name))


async def _merge_all(git_dir: Path, top: Path, plan: ApplyPlan) -> _Merged:
    merged = _Merged()
    for number, each in enumerate(plan.merge):
        work = git_dir.parent / f"merge-{number}"
        await _merge(git_dir, top, work, each, merged)
    return merged


async def _merge(git_dir: Path, top: Path, work: Path, each: Merge, merged: _Merged) -> None:
    """Merge one file, and note its content, or that it has conflicts."""
    await check_out(git_dir, work, {b"base": each.base, b"guest": each.guest})
    await asyncio.to_thread(copy_host_file, top, each.name, work / "host")
    done = await shadow_git(
        git_dir, work, *("merge-file", "-p", *_LABELS, "host", "base", "guest"), ok=range(256)
    )
    if done.status == 0:
        merged.clean[each.name] = done.stdout
    elif done.status <= _CONFLICTS_MAX:
        merged.marked[each.name] = done.stdout
    else:
        merged.impossible.append(each.name)


async def _write(top: Path, git_dir: Path, plan: ApplyPlan, merged: _Merged) -> None:
    """Make all contents in a private directory, then remove and write on the host."""
    made = git_dir.parent / "made"
    await check_out(git_dir, made, plan.write)
    contents = merged.clean | merged.marked
    for name, content in contents.items():
        path = Path(os.fsdecode(os.path.join(os.fsencode(made), name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(path.write_bytes, content)
    modes = {each.name: TreeEntry(each.mode, "") for each in plan.merge if each.name in contents}
    await asyncio.to_thread(remove_files, top, plan.remove)
    await asyncio.to_thread(write_files, top, made, plan.write | modes)
