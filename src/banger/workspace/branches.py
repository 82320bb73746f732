"""Export the guest's commits as a branch of the host's repository.

The guest sends a pack of its commits since the prepared one. The pack is hostile (hazard E1):
bounded in size, received into a private file, then unpacked in quarantine (`quarantine.py`), where
git checks it. The new commit must descend from the prepared one. Only then is the pack
added to the repository and the branch moved, if it still has the value read before. Work tree,
index and HEAD are never touched. A branch that is checked out anywhere, or that has
commits unknown to the guest, is refused.

Uncommitted changes in the guest can be added as one commit on top (`include_uncommitted`). The
host makes that commit from the guest's files (`guesttree.py`, `converting.py`), so nothing is
written in the guest (A4), and files can be exported even if the guest's git directory is gone.

If the process dies in between, at most an unreferenced pack stays in the repository, which
git's own housekeeping removes. The caller holds the workspace lock.
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from banger.errors import (
    BranchConflict,
    GuestToolMissing,
    ToolFailed,
    UnsafeBranch,
    WorkspaceNotFound,
)
from banger.guest import GuestFiles
from banger.model.vm import WorkspaceRecord
from banger.workspace.exporting import Comparison, find_changes, open_comparison
from banger.workspace.extracommit import EMPTY, ExtraCommit, is_extra_commit, make_extra_commit
from banger.workspace.facts import ExportedBranch
from banger.workspace.git import host_git
from banger.workspace.guestcommits import GuestHead, ask_head, receive_commits
from banger.workspace.inspect import require_branch_name
from banger.workspace.locate import Places
from banger.workspace.quarantine import count_commits, is_ancestor, store_pack, verify_commits


async def export_branch(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    branch: str,
    bases: Path,
    include_uncommitted: bool = False,
    fresh: bool = False,
    deadline_s: float,
    scratch: Path | None = None,
) -> ExportedBranch:
    """Set `branch` of the host's repository to the guest's HEAD, creating or advancing it.

    `fresh`: only create a branch, under the next free name (NAME-2 ...) if `branch` exists; create
    none if the guest has changed nothing.

    Raises:
        BranchConflict: the branch is checked out, or is not an ancestor of the guest's HEAD.
        UnsafeBranch: the guest's objects are broken or unsafe, or do not descend from the
            prepared commit.
        InvalidRequest: git does not allow the name.
        WorkspaceNotFound, GuestToolMissing, GuestRefused: the guest's git cannot list its commits.
    """
    async with open_comparison(record, bases=bases, scratch=scratch) as compared:
        places = compared.places
        branch = await _choose(places, branch.removeprefix("refs/heads/"), fresh=fresh)
        before = await _read_branch(places, branch)
        head = await _ask(guest, record, include_uncommitted=include_uncommitted)
        await _fetch(guest, record, compared, head.commit, deadline_s=deadline_s)
        extra = EMPTY
        if include_uncommitted:
            tree = await find_changes(guest, record, compared, deadline_s=deadline_s)
            extra = await make_extra_commit(compared, record, head.commit, tree, before=before)
        commit = extra.commit or head.commit
        if fresh and head.commit == record.commit and not extra.is_change:
            return ExportedBranch(None, record.commit, 0, 0, head.uncommitted, extra.notices)
        await _require_forward(compared, branch, before=before, commit=commit, head=head.commit)
        await _store(compared, record, extra)
        counted = await count_commits(compared.git_dir, places, record.commit, commit)
    await _set_branch(places, branch, commit=commit, before=before)
    return ExportedBranch(branch, commit, *counted, head.uncommitted, extra.notices)


async def _choose(places: Places, branch: str, *, fresh: bool) -> str:
    """Return the branch to set."""
    await require_branch_name(places, branch)
    if fresh:
        branch = await _find_free(places, branch)
    await _require_not_checked_out(places, branch)
    return branch


async def _find_free(places: Places, wanted: str) -> str:
    """Return the first of NAME, NAME-2, NAME-3 ... that is neither a branch nor a prefix of one."""
    for number in itertools.count(1):
        branch = wanted if number == 1 else f"{wanted}-{number}"
        found = await host_git(places.top, "for-each-ref", "--count=1", f"refs/heads/{branch}")
        if not found.stdout:
            break
    return branch


async def _require_not_checked_out(places: Places, branch: str) -> None:
    listed = await host_git(places.top, "worktree", "list", "--porcelain")
    if f"branch refs/heads/{branch}".encode() in listed.stdout.split(b"\n"):
        raise BranchConflict(
            f"The branch {branch} is checked out in a work tree of {places.top}.",
            hint="export to another branch, and merge that",
        )


async def _read_branch(places: Places, branch: str) -> str | None:
    ref = f"refs/heads/{branch}"
    found = await host_git(places.top, "rev-parse", "--verify", "--quiet", ref, ok=(0, 1))
    return found.text.strip() or None


async def _ask(
    guest: GuestFiles, record: WorkspaceRecord, *, include_uncommitted: bool
) -> GuestHead:
    """Return the guest's commit, or the prepared one if the guest's git is gone and not needed."""
    try:
        head = await ask_head(guest, record)
    except (GuestToolMissing, WorkspaceNotFound):
        if not include_uncommitted:
            raise
        return GuestHead(record.commit, 0)
    return GuestHead(head.commit, 0) if include_uncommitted else head


async def _fetch(
    guest: GuestFiles,
    record: WorkspaceRecord,
    compared: Comparison,
    commit: str,
    *,
    deadline_s: float,
) -> None:
    """Receive the guest's commits into quarantine and check them."""
    pack = _received(compared)
    if commit != record.commit:
        await receive_commits(guest, record, commit, pack, deadline_s=deadline_s)
    if compared.places.shallow.exists():
        shutil.copyfile(compared.places.shallow, compared.git_dir / "shallow")
    await verify_commits(compared.git_dir, compared.places, record, commit=commit, pack=pack)


def _received(compared: Comparison) -> Path:
    return compared.git_dir.parent / "untrusted.pack"


async def _store(compared: Comparison, record: WorkspaceRecord, extra: ExtraCommit) -> None:
    """Add the checked commits to the repository: as received, or repacked with the extra commit."""
    pack = _received(compared)
    if extra.commit is not None:
        pack = await extra.pack(compared, record)
    if pack.exists():
        try:
            await store_pack(pack, compared.places)
        except ToolFailed as error:
            raise UnsafeBranch(
                "The uncommitted changes in the guest contain something that git forbids.",
                hint="banger vm workspace export VM (leave out --branch)",
                details=error.details,
            ) from error


async def _require_forward(
    compared: Comparison, branch: str, *, before: str | None, commit: str, head: str
) -> None:
    """Check that moving the branch drops no commits, except the extra commit of an older export."""
    places, git_dir = compared.places, compared.git_dir
    if before is None or await is_ancestor(git_dir, places, before, commit):
        return
    ours = await is_extra_commit(git_dir, places, before)
    if ours and await is_ancestor(git_dir, places, f"{before}^", head):
        return
    raise BranchConflict(
        f"The branch {branch} has commits that the guest does not have.",
        hint=f"choose another name, or look at it: git -C {places.top} log {branch}",
    )


async def _set_branch(places: Places, branch: str, *, commit: str, before: str | None) -> None:
    """Set the branch if it still has the value `before` and is still not checked out."""
    await _require_not_checked_out(places, branch)
    expected = before or "0" * len(commit)
    ref = f"refs/heads/{branch}"
    try:
        await host_git(places.top, "update-ref", "-m", "banger: export", ref, commit, expected)
    except ToolFailed as error:
        raise BranchConflict(
            f"The branch {branch} could not be set: it changed meanwhile, or its name "
            "conflicts with another.",
            hint=f"git -C {places.top} branch --list",
            details=error.details,
        ) from error
