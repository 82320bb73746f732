"""The commits of the guest's git: the one checked out, and a pack of those since the prepare.

Scripts run in the guest and write nothing there (hazard A4). Their output is hostile: an object
name and a number are parsed, and the pack is received into a private file, bounded in size.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from banger.errors import (
    GuestProtocolError,
    GuestRefused,
    GuestToolMissing,
    UnsafeBranch,
    WorkspaceNotFound,
)
from banger.guest import Completed, GuestFiles
from banger.model.vm import WorkspaceRecord
from banger.workspace.guestfiles import read_output

PACK_BYTES_MAX = 4 * 1024**3
ASK_DEADLINE_S = 300.0
NO_GIT, NO_WORKSPACE, NO_COMMIT = 91, 92, 94

_ENTER = f"""
set -eu
command -v git >/dev/null 2>&1 || exit {NO_GIT}
cd "$1" 2>/dev/null && [ -d .git/objects ] || exit {NO_WORKSPACE}
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD" GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 LC_ALL=C
git cat-file -e "$2" 2>/dev/null || exit {NO_COMMIT}
"""
"""$1 the workspace, $2 the prepared commit. Setting GIT_DIR skips git's check of its owner."""
_ASK = (
    _ENTER
    + """
git rev-parse --verify HEAD^{commit}
git -c core.fsmonitor=false status --porcelain --untracked-files=all | wc -l
"""
)
_SEND = (
    _ENTER
    + """
printf '%s\\n^%s\\n' "$3" "$2" | git pack-objects --quiet --revs --thin --stdout --delta-base-offset
"""
)
"""$3 the commit to send."""
_ANSWER = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\s+([0-9]{1,9})\s*")


_POSITION = (
    _ENTER
    + """
git rev-parse --verify HEAD^{commit}
git rev-list --count HEAD "^$2"
git symbolic-ref --quiet --short HEAD || echo
"""
)
_POSITION_ANSWER = re.compile(
    rb"(?P<commit>[0-9a-f]{40}|[0-9a-f]{64})\n(?P<commits>[0-9]{1,9})\n(?P<branch>[^\n]{0,1000})\n"
)


@dataclass(frozen=True)
class GuestPosition:
    """What is checked out in the guest, and the number of commits since the prepared one."""

    commit: str
    branch: str | None
    commits: int


@dataclass(frozen=True)
class GuestHead:
    """The commit checked out in the guest, and the number of names that `git status` lists."""

    commit: str
    uncommitted: int


async def ask_position(guest: GuestFiles, record: WorkspaceRecord) -> GuestPosition:
    """Return the commit and the branch that are checked out in the guest.

    Raises: as `ask_head`.
    """
    answer = await guest.run(_script(_POSITION, record), deadline_s=ASK_DEADLINE_S)
    _require_done(answer, record)
    match = _POSITION_ANSWER.fullmatch(answer.untrusted_stdout)
    if match is None or len(match["commit"]) != len(record.commit):
        raise GuestProtocolError("The guest's git did not name a commit.")
    branch = match["branch"].decode("utf-8", "backslashreplace") or None
    return GuestPosition(match["commit"].decode("ascii"), branch, int(match["commits"]))


async def ask_head(guest: GuestFiles, record: WorkspaceRecord) -> GuestHead:
    """Return the commit that is checked out in the guest.

    Raises:
        GuestToolMissing: the guest has no git.
        WorkspaceNotFound: the git directory, or the prepared commit in it, is gone.
        GuestRefused: git failed.
    """
    answer = await guest.run(_script(_ASK, record), deadline_s=ASK_DEADLINE_S)
    _require_done(answer, record)
    match = _ANSWER.fullmatch(answer.untrusted_stdout)
    if match is None or len(match[1]) != len(record.commit):
        raise GuestProtocolError("The guest's git did not name a commit.")
    return GuestHead(match[1].decode("ascii"), int(match[2]))


async def receive_commits(
    guest: GuestFiles, record: WorkspaceRecord, commit: str, pack: Path, *, deadline_s: float
) -> None:
    """Write a pack of the commits from the prepared one to `commit` into the new file `pack`.

    Raises:
        UnsafeBranch: the pack is too large.
        GuestRefused: git failed.
        DeadlineExceeded: the transfer took longer than `deadline_s`.
    """
    argv = _script(_SEND, record, commit)
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
                    _require_done(news, record)
                    continue
                size += len(news)
                if size > PACK_BYTES_MAX:
                    raise UnsafeBranch(f"The guest sent more than {PACK_BYTES_MAX} bytes.")
                await asyncio.to_thread(file.write, news)


def _script(script: str, record: WorkspaceRecord, *words: str) -> list[str]:
    return ["sh", "-c", script, "banger", record.guest_path, record.commit, *words]


def _require_done(completed: Completed, record: WorkspaceRecord) -> None:
    status = completed.status
    if status == NO_GIT:
        raise GuestToolMissing(
            "Commits cannot be fetched: the guest has no git.",
            hint="banger vm workspace export VM (leave out --branch)",
        )
    if status in (NO_WORKSPACE, NO_COMMIT):
        what = "a git directory" if status == NO_WORKSPACE else f"commit {record.commit[:12]}"
        raise WorkspaceNotFound(
            f"The workspace {record.guest_path} of the guest no longer has {what}.",
            hint="banger vm workspace export VM (leave out --branch)",
        )
    if status:
        said = completed.untrusted_stderr[-2000:].decode("utf-8", "replace")
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "no reason")
        raise GuestRefused(
            f"git failed in {record.guest_path} of the guest: {last!r}.",
            details=said,
            hint=f"banger vm exec VM -w {record.guest_path} -- git status",
        )
