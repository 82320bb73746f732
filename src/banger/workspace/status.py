"""The state of a workspace: the changes in the guest and on the host since it was copied in.

Writes nothing in the guest, and on the host only in `scratch`. The caller holds the workspace lock.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from banger.errors import (
    BangerError,
    GuestProtocolError,
    GuestRefused,
    GuestToolMissing,
    HostFailed,
    RepositoryRefused,
    ToolMissing,
    WorkspaceNotFound,
)
from banger.guest import GuestFiles
from banger.model.excluding import render_patterns
from banger.model.vm import WorkspaceRecord
from banger.workspace.base import Base
from banger.workspace.exporting import find_changes, open_comparison
from banger.workspace.facts import FileKind, RepositoryFacts
from banger.workspace.guestcommits import GuestPosition, ask_position
from banger.workspace.guesttree import GuestTree
from banger.workspace.inspect import inspect_repository
from banger.workspace.plain import inspect_directory
from banger.workspace.staleness import find_stale

_KIND = 0o170000
_CANNOT_TELL = (
    GuestProtocolError,
    GuestRefused,
    GuestToolMissing,
    HostFailed,
    ToolMissing,
    WorkspaceNotFound,
)


@dataclass(frozen=True)
class NameChange:
    """A changed name; the letter is that of `git diff --name-status`: A, D, M or T."""

    name: bytes
    letter: str


@dataclass(frozen=True)
class HostState:
    """The host's repository or directory now."""

    commit: str | None
    """None: a plain directory."""
    branch: str | None
    changes: tuple[NameChange, ...]
    is_comparable: bool = True
    """False if another commit than the host's was copied (`--from`)."""

    def is_stale(self, record: WorkspaceRecord) -> bool:
        """Tell whether a prepare would give another workspace."""
        moved = self.commit is not None and self.commit != record.commit
        return self.is_comparable and (moved or bool(self.changes))


@dataclass(frozen=True)
class WorkspaceStatus:
    """What `workspace status` shows."""

    changes: tuple[NameChange, ...]
    """In the guest, committed or not; sorted by name."""
    position: GuestPosition | None
    """None: the guest's git cannot tell, or there is none."""
    host: HostState | None
    """None: the repository cannot be read any more; a notice says why."""
    notices: tuple[str, ...]


async def read_status(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    bases: Path,
    deadline_s: float,
    scratch: Path | None = None,
) -> WorkspaceStatus:
    """Return the state of a workspace.

    Raises: as `exporting.export_patch`.
    """
    async with open_comparison(record, bases=bases, scratch=scratch) as compared:
        tree = await find_changes(guest, record, compared, deadline_s=deadline_s)
    notices = list(tree.notices)
    try:
        host = await read_host(record, compared.base, scratch=scratch)
    except BangerError as error:
        host = None
        notices.append(f"The host's files cannot be compared: {error}")
    return WorkspaceStatus(
        list_changes(tree), await ask_position_if_any(guest, record), host, tuple(notices)
    )


def list_changes(tree: GuestTree) -> tuple[NameChange, ...]:
    """Return the names that differ from the base. Pure."""
    before = {file.name: file.mode for file in tree.base.files}
    letters = dict.fromkeys(tree.removed, "D")
    for name, entry in tree.changed.items():
        if name not in before:
            letters[name] = "A"
        else:
            letters[name] = "M" if before[name] & _KIND == entry.mode & _KIND else "T"
    return tuple(NameChange(name, letter) for name, letter in sorted(letters.items()))


async def read_host(record: WorkspaceRecord, base: Base, *, scratch: Path | None) -> HostState:
    """Compare the host's files with the base.

    Raises:
        NotARepository, RepositoryRefused: they cannot be read any more.
    """
    facts = await inspect_host(record, scratch)
    if facts.head_commit is None:
        raise RepositoryRefused(f"The repository at {facts.top} has no commit.")
    letters: dict[bytes, str] = {}
    if not base.is_other_commit:
        there = {file.name for file in facts.files if file.kind is not FileKind.DIRECTORY}
        known = {file.name for file in base.files}
        stale = await asyncio.to_thread(find_stale, base, facts.top)
        letters = dict.fromkeys(there - known, "A") | {n: "M" if n in there else "D" for n in stale}
    commit = None if facts.is_plain else facts.head_commit
    changes = tuple(NameChange(name, letter) for name, letter in sorted(letters.items()))
    return HostState(commit, facts.head_branch, changes, not base.is_other_commit)


async def inspect_host(record: WorkspaceRecord, scratch: Path | None) -> RepositoryFacts:
    """Return the facts about the host's files, as of a prepare with the same options.

    Raises:
        NotARepository, RepositoryRefused: they cannot be read any more.
    """
    exclude = render_patterns(record.exclude)
    if record.is_plain:
        return await inspect_directory(record.host_path, exclude=exclude, scratch=scratch)
    return await inspect_repository(
        record.host_path,
        include_untracked=record.include_untracked,
        exclude=exclude,
        scratch=scratch,
    )


async def ask_position_if_any(guest: GuestFiles, record: WorkspaceRecord) -> GuestPosition | None:
    """Return what is checked out in the guest; None if its git cannot tell, or there is none."""
    if record.is_plain:
        return None
    try:
        return await ask_position(guest, record)
    except _CANNOT_TELL:
        return None
