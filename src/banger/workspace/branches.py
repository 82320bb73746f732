"""The guest's commits, as a branch of the host's repository.

The guest sends a pack of what it has beyond the prepared commit. It is hostile (hazard E1):
bounded in size, received into a private file, then unpacked in quarantine (a shadow git
directory beside the repository's objects), where git checks every object, link and name
(`index-pack --strict`), and the new commit must descend from the prepared one. Only then is the
same file added to the repository, and the branch set, from the value it was seen
with. Work tree, index and HEAD are never touched; a branch that is checked out anywhere, or
that has commits which the guest does not know, is refused.

What is not committed in the guest can be added as one commit on top (`include_uncommitted`). It
is made as the patch is (`exporting.py`): from a copy of the index, with its objects in
the same temporary directory, so that the guest's index, HEAD and objects stay as they are (A4).

If the process dies in between, at most an unreferenced pack stays in the repository, which
git's own housekeeping removes. The caller holds the workspace lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from banger.errors import BranchConflict, GuestProtocolError, ToolFailed, UnsafeBranch
from banger.model.vm import WorkspaceRecord
from banger.workspace.exporting import (
    ENTER,
    STAGE,
    commit_gone,
    new_temporary,
    remove_temporary,
    require_exported,
    require_object_id,
)
from banger.workspace.facts import ExportedBranch, Settings
from banger.workspace.git import host_git, index_pack, shadow_git
from banger.workspace.guestfiles import Completed, GuestFiles, read_output
from banger.workspace.inspect import require_branch_name
from banger.workspace.listing import parse_tree
from banger.workspace.locate import Places, locate_places
from banger.workspace.names import is_safe_name
from banger.workspace.shadow import make_shadow, private_dir

PACK_BYTES_MAX = 4 * 1024**3
ASK_DEADLINE_S = 300.0

_ASK = (
    ENTER
    + """
git rev-parse --verify HEAD^{commit}
git status --porcelain --untracked-files=all | wc -l
"""
)
_COMMIT = (
    ENTER
    + STAGE
    + """
commit=$(git rev-parse --verify HEAD^{commit})
tree=$(git -c core.splitIndex=false write-tree)
export GIT_AUTHOR_NAME=banger GIT_AUTHOR_EMAIL=banger@localhost
export GIT_COMMITTER_NAME=banger GIT_COMMITTER_EMAIL=banger@localhost
[ "$tree" = "$(git rev-parse --verify "$commit^{tree}")" ] ||
    commit=$(git commit-tree "$tree" -p "$commit" -m 'Not committed in the guest')
trap - EXIT
printf '%s\\n0\\n' "$commit"
"""
)
"""The answer is as that of `_ASK`: nothing is left out. The directory stays for `_SEND`."""
_SEND = (
    ENTER
    + """
[ -z "$4" ] || export GIT_OBJECT_DIRECTORY="$PWD/.git/banger/$4/objects"
printf '%s\\n^%s\\n' "$3" "$2" | git pack-objects --quiet --revs --thin --stdout --delta-base-offset
"""
)
"""$3 the commit to send; $4 the temporary directory that it was made in, if it was."""
_ANSWER = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\s+([0-9]{1,9})\s*")


async def export_branch(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    branch: str,
    include_uncommitted: bool = False,
    fresh: bool = False,
    deadline_s: float,
    scratch: Path | None = None,
) -> ExportedBranch:
    """Set `branch` of the host's repository to the guest's HEAD, creating or advancing it.

    `fresh`: only create; under the next free name (NAME-2 ...) if there is such a branch, and
    not at all if the guest has what was prepared.

    Raises:
        BranchConflict: it is checked out, or is not an ancestor of the guest's HEAD.
        UnsafeBranch: the guest's objects are broken, unsafe, or do not build on the prepare.
        InvalidRequest: the name is not one that git allows.
        WorkspaceNotFound, GuestToolMissing, GuestRefused: as for `export_patch`.
    """
    require_object_id(record.commit)
    places = await asyncio.to_thread(locate_places, record.host_path)
    await require_branch_name(places, branch)
    if fresh:
        branch = await _find_free(places, branch)
    await _require_not_checked_out(places, branch)
    await _require_prepared(places, record)
    before = await _read_branch(places, branch)
    with private_dir(scratch) as directory:
        pack = directory / "untrusted.pack"
        async with _temporary(guest, record, needed=include_uncommitted) as temporary:
            commit, uncommitted = await _ask(guest, record, temporary, deadline_s=deadline_s)
            if commit != record.commit:
                argv = _script(_SEND, record, commit, temporary)
                await _receive(guest, record, argv=argv, pack=pack, deadline_s=deadline_s)
            elif fresh:
                return ExportedBranch(None, commit, commits=0, files=0, uncommitted=uncommitted)
        git_dir = make_shadow(directory, places, commit=record.commit, settings=Settings())
        if places.shallow.exists():
            shutil.copyfile(places.shallow, git_dir / "shallow")
        commits, files = await _verify(git_dir, places, record, commit=commit, pack=pack)
        await _require_forward(git_dir, places, branch, before=before, commit=commit)
        if pack.exists():
            await _index_pack(pack, places)
    await _set_branch(places, branch, commit=commit, before=before)
    return ExportedBranch(branch, commit, commits, files, uncommitted)


async def _find_free(places: Places, wanted: str) -> str:
    """Return the first of NAME, NAME-2, NAME-3 ... that is no branch, nor a folder of branches."""
    for number in itertools.count(1):
        branch = wanted if number == 1 else f"{wanted}-{number}"
        found = await host_git(places.top, "for-each-ref", "--count=1", f"refs/heads/{branch}")
        if not found.stdout:
            break
    return branch


@contextlib.asynccontextmanager
async def _temporary(
    guest: GuestFiles, record: WorkspaceRecord, *, needed: bool
) -> AsyncIterator[str]:
    """Yield a temporary directory's name in the guest, removed on leaving; `` if none is needed."""
    name = new_temporary() if needed else ""
    try:
        yield name
    finally:
        if needed:
            await remove_temporary(guest, record, name)


def _script(script: str, record: WorkspaceRecord, *words: str) -> list[str]:
    return ["sh", "-c", script, "banger", record.guest_path, record.commit, *words]


async def _require_not_checked_out(places: Places, branch: str) -> None:
    listed = await host_git(places.top, "worktree", "list", "--porcelain")
    if f"branch refs/heads/{branch}".encode() in listed.stdout.split(b"\n"):
        raise BranchConflict(
            f"The branch {branch} is checked out in a work tree of {places.top}.",
            hint="export to another branch, and merge that",
        )


async def _require_prepared(places: Places, record: WorkspaceRecord) -> None:
    found = await host_git(places.top, "cat-file", "-e", record.commit, ok=(0, 1, 128))
    if found.status:
        raise commit_gone(record)


async def _read_branch(places: Places, branch: str) -> str | None:
    ref = f"refs/heads/{branch}"
    found = await host_git(places.top, "rev-parse", "--verify", "--quiet", ref, ok=(0, 1))
    return found.text.strip() or None


async def _ask(
    guest: GuestFiles, record: WorkspaceRecord, temporary: str, *, deadline_s: float
) -> tuple[str, int]:
    """Return the guest's commit, made if there is a `temporary`, and how many files it lacks."""
    if temporary:
        argv = _script(_COMMIT, record, temporary)
    else:
        argv, deadline_s = _script(_ASK, record), ASK_DEADLINE_S
    answer = await guest.run(argv, deadline_s=deadline_s)
    require_exported(answer, record)
    match = _ANSWER.fullmatch(answer.untrusted_stdout)
    if match is None or len(match[1]) != len(record.commit):
        raise GuestProtocolError("The guest's git did not name a commit.")
    return match[1].decode("ascii"), int(match[2])


async def _receive(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    argv: list[str],
    pack: Path,
    deadline_s: float,
) -> None:
    size = 0
    with await asyncio.to_thread(open, pack, "xb") as file:
        async with (
            guest.open_output(argv, deadline_s=deadline_s) as output,
            contextlib.aclosing(
                read_output(output, what="The export", deadline_s=deadline_s)
            ) as all_news,
        ):
            async for news in all_news:
                if isinstance(news, Completed):
                    require_exported(news, record)
                    continue
                size += len(news)
                if size > PACK_BYTES_MAX:
                    raise UnsafeBranch(f"The guest sent more than {PACK_BYTES_MAX} bytes.")
                await asyncio.to_thread(file.write, news)


async def _verify(
    git_dir: Path, places: Places, record: WorkspaceRecord, *, commit: str, pack: Path
) -> tuple[int, int]:
    """Check everything about the new commits, in quarantine; count them, and the files changed."""
    try:
        if pack.exists():
            await _index_pack(pack, places, quarantine=git_dir)
        await shadow_git(
            git_dir, places.top, "rev-list", "--objects", "--quiet", commit, f"^{record.commit}"
        )
        tree = await shadow_git(git_dir, places.top, "ls-tree", "-r", "-z", "--long", commit)
    except ToolFailed as error:
        raise UnsafeBranch(
            "The commits that the guest sent are broken or hold names that git forbids.",
            details=error.details,
        ) from error
    for name in parse_tree(tree.stdout)[0]:
        if not is_safe_name(name):
            raise UnsafeBranch(f"The guest's commit holds the name {name!r}.")
    if not await _is_ancestor(git_dir, places, record.commit, commit):
        raise UnsafeBranch(
            f"The guest's history does not build on the prepared commit {record.commit[:12]}.",
            hint="export the changes as a patch instead (leave out --branch)",
        )
    counted = await shadow_git(
        git_dir, places.top, "rev-list", "--count", commit, f"^{record.commit}"
    )
    changed = await shadow_git(
        git_dir,
        places.top,
        *("diff-tree", "-r", "-z", "--name-only", "--no-renames", record.commit, commit),
    )
    return int(counted.text), changed.stdout.count(b"\0")


async def _index_pack(pack: Path, places: Places, *, quarantine: Path | None = None) -> None:
    with await asyncio.to_thread(open, pack, "rb") as file:
        await index_pack(places.top, file, quarantine=quarantine, limit_bytes=PACK_BYTES_MAX)


async def _require_forward(
    git_dir: Path, places: Places, branch: str, *, before: str | None, commit: str
) -> None:
    if before is None or await _is_ancestor(git_dir, places, before, commit):
        return
    raise BranchConflict(
        f"The branch {branch} has commits that the guest does not have.",
        hint=f"choose another name, or look at it: git -C {places.top} log {branch}",
    )


async def _is_ancestor(git_dir: Path, places: Places, ancestor: str, commit: str) -> bool:
    tested = await shadow_git(
        git_dir, places.top, "merge-base", "--is-ancestor", ancestor, commit, ok=(0, 1, 128)
    )
    return tested.status == 0


async def _set_branch(places: Places, branch: str, *, commit: str, before: str | None) -> None:
    """Set the branch if it is still what it was, and still not checked out."""
    await _require_not_checked_out(places, branch)
    expected = before or "0" * len(commit)
    ref = f"refs/heads/{branch}"
    try:
        await host_git(places.top, "update-ref", "-m", "banger: export", ref, commit, expected)
    except ToolFailed as error:
        raise BranchConflict(
            f"The branch {branch} could not be set: it changed meanwhile, or its name collides.",
            hint=f"git -C {places.top} branch --list",
            details=error.details,
        ) from error
