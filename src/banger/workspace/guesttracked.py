"""The names that the guest's own git tracks, needed only if the files alone are not enough.

A guest without git, or whose git fails, tracks nothing. The output is hostile: names are
checked, and the number of bytes is bounded.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field

from banger.errors import GuestProtocolError, GuestRefused, HostFailed, ToolMissing
from banger.guest import Completed, GuestFiles, GuestOutput
from banger.workspace.guestfiles import read_output
from banger.workspace.names import is_safe_name
from banger.workspace.trees import MODE_GITLINK

OUTPUT_BYTES_MAX = 256 * 1024 * 1024
GIT_DEADLINE_S = 300.0
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_LINE = re.compile(rb"(?P<tag>[A-Z]) (?P<mode>[0-7]{6}) [0-9a-f]{40,64} [0-3]\t(?P<name>.+)", re.S)


@dataclass(frozen=True)
class Tracked:
    """Names in the guest's index."""

    names: frozenset[bytes] = field(default_factory=frozenset)
    skipped: frozenset[bytes] = field(default_factory=frozenset)
    """Names that a sparse checkout in the guest omits from the work tree."""


def guest_git_environment(path: str) -> dict[str, str]:
    """Return an environment in which git works at `path`, whoever owns the files."""
    return {
        "GIT_DIR": f"{path}/.git",
        "GIT_WORK_TREE": path,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "LC_ALL": "C",
    }


async def load_tracked(guest: GuestFiles, path: str) -> Tracked:
    """Return the names tracked by the guest's git in the repository at `path`; none on failure."""
    argv = ["git", "-c", "core.fsmonitor=false", "ls-files", "-t", "--stage", "-z"]
    output = await _read(guest, path, argv)
    names: set[bytes] = set()
    skipped: set[bytes] = set()
    for untrusted_line in (output or b"").split(b"\0"):
        match = _LINE.fullmatch(untrusted_line)
        if match is None or not is_safe_name(match["name"]):
            continue
        if int(match["mode"], 8) != MODE_GITLINK:
            names.add(match["name"])
        if match["tag"] == b"S":
            skipped.add(match["name"])
    return Tracked(frozenset(names), frozenset(skipped))


async def read_submodule_head(guest: GuestFiles, path: str) -> str | None:
    """Return the commit that is checked out in a submodule; None if git fails."""
    argv = ["git", "rev-parse", "--verify", "HEAD^{commit}"]
    output = await _read(guest, path, argv)
    untrusted_id = (output or b"").strip()
    return untrusted_id.decode() if _OBJECT_ID.fullmatch(untrusted_id) else None


async def has_submodule_changes(guest: GuestFiles, path: str) -> bool:
    """Tell whether a submodule's files differ from its commit."""
    argv = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain"]
    output = await _read(guest, path, argv)
    return output is None or bool(output.strip())


async def _read(guest: GuestFiles, path: str, argv: list[str]) -> bytes | None:
    """Run git in the guest and return its output; None if git fails or cannot be run."""
    environment = guest_git_environment(path)
    try:
        async with guest.open_output(
            argv, deadline_s=GIT_DEADLINE_S, cwd=path, env=environment
        ) as output:
            return await _collect(output)
    except (GuestRefused, ToolMissing, HostFailed):
        return None


async def _collect(output: GuestOutput) -> bytes | None:
    untrusted = bytearray()
    status = 0
    all_news = read_output(output, what="git in the guest", deadline_s=GIT_DEADLINE_S)
    async with contextlib.aclosing(all_news):
        async for news in all_news:
            if isinstance(news, Completed):
                status = news.status
                continue
            untrusted += news
            if len(untrusted) > OUTPUT_BYTES_MAX:
                raise GuestProtocolError("The guest's git names too many files.")
    return None if status else bytes(untrusted)
