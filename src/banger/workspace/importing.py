"""Copy a repository into a guest: plan, then act.

The import is complete or absent: everything is unpacked into a directory beside the target,
and one rename turns that directory into the workspace. An export never sees half a workspace;
a failed import leaves the target unchanged and can be repeated. The names are fixed
(`.NAME.banger-import`, `.NAME.banger-previous`), since prepares of one VM run one after
the other (workspace lock L3, held by the caller); each import empties the leftovers of an
interrupted one.

A directory that is not a banger workspace is never replaced. A workspace is moved aside,
one generation deep, so that work in it which was never exported is not lost. A workspace is known
by a file in its `.git`; one of a plain directory, which has none, by a file beside it that holds
the inode of the directory (`.NAME.banger-plain`).

The guest needs a shell, but not git. `sending.py` sends the files. Needs no VM lock (hazard C1).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
from pathlib import Path

from banger.errors import (
    BangerError,
    DeadlineExceeded,
    GuestPathTaken,
    GuestRefused,
    InvalidRequest,
)
from banger.guest import Completed, GuestFiles
from banger.model.setup import aside_directory
from banger.workspace.facts import (
    FileKind,
    ImportPlan,
    PreparedWorkspace,
    Progress,
    RepositoryFacts,
)
from banger.workspace.guestside import mark_path
from banger.workspace.readonly import FUNCTIONS, make_read_only, require_mount
from banger.workspace.sending import Count, Transfer, send_repository
from banger.workspace.settings import render_identity
from banger.workspace.shadow import private_dir
from banger.workspace.skeleton import MARKER

GUEST_HOME = "/root"
STEP_DEADLINE_S = 60.0
"""Deadline of a command whose time does not depend on the number of files."""

_TAKEN = 93
_CHECK = """
inode() (set -f; set -- $(ls -di "$1"); echo "$1")
ours() {
    [ ! -f "$1/$2" ] || return 0
    [ -d "$1" ] && [ -f "$3" ] && read -r known <"$3" && [ "$known" = "$(inode "$1")" ]
}
if [ -L "$1" ] || { [ -e "$1" ] && [ ! -d "$1" ]; }; then exit 93; fi
if [ -d "$1" ] && [ -n "$(ls -A "$1")" ] && ! ours "$1" "$2" "$3"; then exit 93; fi
mkdir -p "${1%/*}/"
"""
_PUBLISH = (
    _CHECK
    + FUNCTIONS
    + """
merge() {
    for each in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        name=${each##*/}
        if [ "$name" = .git ] || { [ ! -e "$each" ] && [ ! -L "$each" ]; }; then continue; fi
        if [ ! -e "$2/$name" ] && [ ! -L "$2/$name" ]; then
            mv "$each" "$2/$name"
        elif [ -d "$each" ] && [ ! -L "$each" ] && [ -d "$2/$name" ] && [ ! -L "$2/$name" ]; then
            (merge "$each" "$2/$name")
        fi
    done
}
set -e
moved=no
if ours "$1" "$2" "$3"; then
    make_writable "$1"
    rm -rf "$5"
    mv "$1" "$5"
    moved=yes
elif [ -d "$1" ]; then
    rmdir "$1"
fi
if [ "$moved$9" = yeskeep ]; then merge "$5" "$4"; fi
if [ -d "$8" ] && [ ! -L "$8" ]; then
    merge "$8" "$4"
    rm -rf "$8"
fi
# Before the move: whatever happens then, the file names this directory or none.
if [ "$7" = plain ]; then inode "$4" >"$3"; else rm -f "$3"; fi
mv "$4" "$1"
echo "$moved"
# From here on nothing may fail. Users other than root reach a workspace in root's home.
set +e
printf %s "${11}" >"${10}"
case $1 in "$HOME"/*) chmod o+x "$HOME" ;; esac
[ -z "$6" ] || [ -e ~/.gitconfig ] || [ -e ~/.config/git/config ] || printf %s "$6" >~/.gitconfig
exit 0
"""
)
"""$1 the workspace, $2 its marker, $3 the marker beside it, $4 the new directory, $5 the place of
the old workspace, $6 a user's git configuration with the host's identity, for repositories that
are created in the guest, $7 `plain` for a plain directory, $8 what setup commands made: it goes
where the repository has nothing (`model.setup`), $9 `keep`: so do the files of the old one, $10 the
file for the base's id, $11 that id."""


def plan_import(facts: RepositoryFacts, guest_path: str | None = None) -> ImportPlan:
    """Return the plan of an import of these facts. Pure.

    Raises:
        InvalidRequest: `guest_path` is not an absolute path below the guest's root.
    """
    path = f"{GUEST_HOME}/{facts.top.name}" if guest_path is None else guest_path
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise InvalidRequest(f"{path!r} is not an absolute path.", hint="--guest-path /root/NAME")
    normal = "/" + posixpath.normpath(path).strip("/")
    if normal == "/":
        raise InvalidRequest(
            "The guest's root cannot be a workspace.", hint="--guest-path /root/NAME"
        )
    return ImportPlan(facts, normal)


async def import_workspace(
    guest: GuestFiles,
    plan: ImportPlan,
    *,
    deadline_s: float,
    bases: Path,
    progress: Progress | None = None,
    scratch: Path | None = None,
    keep_ignored: bool = False,
    read_only: bool = False,
) -> PreparedWorkspace:
    """Create a plan's workspace in the guest, and its base below `bases`.

    `keep_ignored`: move files of the present workspace to where the new one has nothing.
    `read_only`: nothing in the guest can write the new one.

    The caller holds the VM's workspace lock. `scratch` is the parent of the temporary directory
    and is on the file system of `bases`.

    Raises:
        GuestPathTaken: the guest path holds something other than a workspace.
        RepositoryRefused: the repository changed or cannot be read.
        DeadlineExceeded: the import took longer than `deadline_s`.
        GuestGone, GuestRefused: the guest is gone, or a command in it failed.
        GuestToolMissing: it cannot mount, and `read_only` was asked for.
    """
    try:
        async with asyncio.timeout(deadline_s):
            if read_only:
                await require_mount(guest)
            staging = _beside(plan.guest_path, "import")
            transfer = Transfer(guest, plan.facts, staging, deadline_s)
            count = Count(plan, progress or _silent)
            done = await _import(
                transfer, plan, bases, count, scratch, keep="keep" if keep_ignored else ""
            )
            if read_only:
                await make_read_only(guest, plan.guest_path)
            return done
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"The import of {plan.host_path} did not finish within {deadline_s:g} s."
        ) from error


async def _import(
    transfer: Transfer,
    plan: ImportPlan,
    bases: Path,
    count: Count,
    scratch: Path | None,
    *,
    keep: str,
) -> PreparedWorkspace:
    guest, staging = transfer.guest, transfer.staging
    previous = _beside(plan.guest_path, "previous")
    mark = _beside(plan.guest_path, "plain")
    checked = await _script(
        guest, _CHECK, plan.guest_path, MARKER, mark, deadline_s=STEP_DEADLINE_S
    )
    _require_ok(checked, plan)
    try:
        with private_dir(scratch) as directory:
            base = await send_repository(transfer, directory, bases, count)
        identity = render_identity(plan.facts.settings)
        words: tuple[str, ...] = (plan.guest_path, MARKER, mark, staging, previous, identity)
        kind = "plain" if plan.facts.is_plain else ""
        aside = aside_directory(plan.guest_path)
        words += (kind, aside, keep, mark_path(plan.guest_path), base)
        # It deletes the workspace before the previous one, which may have as many files.
        published = await _script(guest, _PUBLISH, *words, deadline_s=transfer.deadline_s)
        _require_ok(published, plan)
    except BaseException:
        # Best effort while the caller is being cancelled: the next import empties it anyway.
        with contextlib.suppress(BangerError, TimeoutError):
            async with asyncio.timeout(STEP_DEADLINE_S):
                await guest.run(["rm", "-rf", "--", staging], deadline_s=STEP_DEADLINE_S)
        raise
    moved = published.untrusted_stdout.strip() == b"yes"
    return PreparedWorkspace(
        host_path=plan.host_path,
        guest_path=plan.guest_path,
        commit=plan.commit,
        branch=plan.branch,
        files=count.files,
        bytes=count.bytes,
        untracked_left_out=plan.untracked_left_out,
        base=base,
        notices=_notices(plan.facts, previous if moved else None),
    )


def _silent(stage: str, done: int, total: int) -> None:
    """Ignore progress, for callers without a callback."""


async def _script(guest: GuestFiles, script: str, *args: str, deadline_s: float) -> Completed:
    """Run one of the fixed scripts, passing its arguments as arguments only (hazard G2)."""
    return await guest.run(["sh", "-c", script, "banger", *args], deadline_s=deadline_s)


def _require_ok(completed: Completed, plan: ImportPlan) -> None:
    if completed.status == _TAKEN:
        raise GuestPathTaken(
            f"{plan.guest_path} exists in the guest and is not a banger workspace.",
            hint="--guest-path with another path, or remove it there with: banger vm exec",
        )
    if completed.status:
        raise GuestRefused(
            f"The guest could not make {plan.guest_path} (status {completed.status}).",
            details=completed.untrusted_stderr[-2000:].decode("utf-8", "replace"),
        )


def _beside(guest_path: str, what: str) -> str:
    parent, name = posixpath.split(guest_path)
    return posixpath.join(parent, f".{name}.banger-{what}")


def _count_empty_submodules(facts: RepositoryFacts) -> int:
    """Return the number of submodules without contents, at any depth."""
    links = [file.name for file in facts.files if file.kind is FileKind.GITLINK]
    within = sum(_count_empty_submodules(each.facts) for each in facts.with_contents)
    return len(links) - len(facts.with_contents) + within


def _notices(facts: RepositoryFacts, previous: str | None) -> tuple[str, ...]:
    """Return notices for the user about files that were not copied or were moved."""
    notices = []
    if facts.untracked_left_out:
        notices.append(
            f"Untracked files not copied: {facts.untracked_left_out} (--include-untracked "
            "copies them)."
        )
    if empty := _count_empty_submodules(facts):
        more = "" if facts.history else " (--full copies their contents)"
        notices.append(f"Submodules that are empty directories in the guest: {empty}{more}.")
    if facts.left_out:
        first = os.fsdecode(facts.left_out[0])
        notices.append(
            f"{len(facts.left_out)} names cannot be copied (pipes, sockets, nested "
            f"repositories), such as {first!r}."
        )
    if facts.conflicts:
        notices.append(
            f"{len(facts.conflicts)} files have conflicts; the merge is not continued in the "
            "guest: a commit there has one parent."
        )
    if previous:
        notices.append(f"The previous workspace is now {previous} in the guest.")
    return tuple(notices)
