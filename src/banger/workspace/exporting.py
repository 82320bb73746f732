"""Everything that changed in a guest's workspace, as one patch.

The patch is against the prepared commit (hazard A3), whatever the guest committed,
staged or left lying about; untracked files that are not ignored are part of it.
The guest's index and files stay as they are (A4): git works on a copy of the index, and
writes objects, in `.git/banger/export.TOKEN`, on the same file system, which the script
removes when it ends or is told to end. If it is killed instead (cancellation, a lost
client), the directory is removed by a command of its own; if the guest or the daemon
dies, by the next export. The caller holds the workspace lock, so there is one export at a time.

On the host nothing runs but a listing of the prepared commit's symbolic links; the
patch is checked as it passes (`patch.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path

from banger.errors import (
    BangerError,
    GuestRefused,
    GuestToolMissing,
    InternalError,
    RepositoryRefused,
    ToolFailed,
    WorkspaceNotFound,
)
from banger.model.vm import WorkspaceRecord
from banger.workspace.facts import Settings
from banger.workspace.git import shadow_git
from banger.workspace.guestfiles import Completed, GuestFiles, read_output
from banger.workspace.locate import locate_places
from banger.workspace.patch import PatchChecker
from banger.workspace.shadow import make_shadow, private_dir

NO_GIT, NO_WORKSPACE, NO_COMMIT = 91, 92, 94
CLEAN_UP_DEADLINE_S = 30.0
_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

ENTER = f"""
set -eu
command -v git >/dev/null 2>&1 || exit {NO_GIT}
cd "$1" 2>/dev/null && [ -d .git/objects ] || exit {NO_WORKSPACE}
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD" GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 LC_ALL=C
git cat-file -e "$2" 2>/dev/null || exit {NO_COMMIT}
"""
"""$1 the workspace, $2 the prepared commit. GIT_DIR is given, so its owner does not matter."""

STAGE = """
umask 077
rm -rf .git/banger/export.*
temporary=".git/banger/$3"
trap 'rm -rf "$temporary"' EXIT
trap 'exit 143' HUP INT TERM PIPE
mkdir -p "$temporary/objects/info"
echo ../../../objects > "$temporary/objects/info/alternates"
[ ! -f .git/index ] || cp -p .git/index "$temporary/index"
export GIT_INDEX_FILE="$PWD/$temporary/index" GIT_OBJECT_DIRECTORY="$PWD/$temporary/objects"
git -c core.splitIndex=false -c core.fsmonitor=false -c core.untrackedCache=false \\
    -c core.safecrlf=false -c advice.addEmbeddedRepo=false add --all . >&2
"""
"""Stage everything in a copy of the index; $3 is the temporary directory's name."""

_EXPORT = (
    ENTER
    + STAGE
    + """
git -c core.quotePath=true -c diff.suppressBlankEmpty=false -c core.splitIndex=false \\
    diff-index --cached --patch --binary --full-index --no-color --no-ext-diff --no-textconv \\
    --find-renames=100% --unified=3 --inter-hunk-context=0 --src-prefix=a/ --dst-prefix=b/ \\
    --submodule=short --ignore-submodules=none "$2"
"""
)


async def export_patch(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    deadline_s: float,
    scratch: Path | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the patch of everything that changed since the prepare; nothing if nothing did.

    Raises:
        WorkspaceNotFound: it is gone from the guest, or the prepared commit from it.
        GuestToolMissing: there is no git in the guest.
        UnsafePatch: the patch would write outside the work tree; what came before it was safe.
        GuestRefused: git failed in the guest.
        DeadlineExceeded: it took longer than `deadline_s`.
    """
    checker = PatchChecker(await list_symlinks(record, scratch=scratch))
    name = new_temporary()
    argv = ["sh", "-c", _EXPORT, "banger", record.guest_path, record.commit, name]
    finished = False
    try:
        async with (
            guest.open_output(argv, deadline_s=deadline_s) as output,
            contextlib.aclosing(
                read_output(output, what="The export", deadline_s=deadline_s)
            ) as all_news,
        ):
            async for news in all_news:
                if isinstance(news, Completed):
                    require_exported(news, record)
                elif safe := checker.feed(news):
                    yield safe
            finished = True
        if rest := checker.finish():
            yield rest
    finally:
        if not finished:
            await remove_temporary(guest, record, name)


async def list_symlinks(record: WorkspaceRecord, *, scratch: Path | None) -> frozenset[bytes]:
    """Return the names of symbolic links in the prepared commit, from the host's repository.

    Raises:
        NotARepository, RepositoryRefused: the repository or the commit is gone.
    """
    require_object_id(record.commit)
    places = await asyncio.to_thread(locate_places, record.host_path)
    with private_dir(scratch) as directory:
        git_dir = make_shadow(directory, places, commit=record.commit, settings=Settings())
        try:
            listed = await shadow_git(
                git_dir, places.top, "ls-tree", "-r", "-z", "--full-tree", record.commit
            )
        except ToolFailed as error:
            raise commit_gone(record) from error
    entries = (entry.partition(b"\t") for entry in listed.stdout.split(b"\0")[:-1])
    return frozenset(name for facts, _, name in entries if facts.startswith(b"120000 "))


def require_object_id(text: str) -> None:
    """Check the shape of an object's name.

    Raises:
        InternalError: it has another one; records hold only what git said.
    """
    if not _OBJECT_ID.fullmatch(text):
        raise InternalError(f"{text!r} is no object name.")


def commit_gone(record: WorkspaceRecord) -> RepositoryRefused:
    return RepositoryRefused(
        f"The prepared commit {record.commit[:12]} is no longer in {record.host_path}.",
        hint=f"git -C {record.host_path} fsck --lost-found",
    )


def require_exported(completed: Completed, record: WorkspaceRecord) -> None:
    """Check how a script of an export ended.

    Raises:
        GuestToolMissing, WorkspaceNotFound, GuestRefused: it did not end well.
    """
    status = completed.status
    if status == NO_GIT:
        raise GuestToolMissing(
            "There is no git in the guest, and an export needs it there.",
            hint="install git in the guest, or use an image that has it",
        )
    if status in (NO_WORKSPACE, NO_COMMIT):
        what = "a git directory" if status == NO_WORKSPACE else f"commit {record.commit[:12]}"
        raise WorkspaceNotFound(
            f"The workspace {record.guest_path} is no longer in the guest (it has no {what}).",
            hint="banger vm workspace prepare",
        )
    if status:
        said = completed.untrusted_stderr[-2000:].decode("utf-8", "replace")
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "no reason")
        raise GuestRefused(
            f"git failed in {record.guest_path} of the guest: {last!r}.",
            details=said,
            hint=f"banger vm exec VM -w {record.guest_path} -- git status",
        )


def new_temporary() -> str:
    """Return the name of a temporary directory for `STAGE`."""
    return f"export.{secrets.token_hex(8)}"


async def remove_temporary(guest: GuestFiles, record: WorkspaceRecord, name: str) -> None:
    """Remove what an export left; a guest that is gone has nothing to remove."""
    path = f"{record.guest_path}/.git/banger/{name}"
    with contextlib.suppress(BangerError):
        await guest.run(["rm", "-rf", "--", path], deadline_s=CLEAN_UP_DEADLINE_S)
