"""What was read from a host repository, what an import will send, and what came of it.

Frozen values; nothing here touches the machine. Names are bytes as git has them:
relative to the top of the work tree, separated by slashes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from banger.workspace.locate import Places

Progress = Callable[[str, int, int], None]
"""Called with a stage, bytes done and bytes in all (0: not known)."""


class FileKind(StrEnum):
    """What a name of the work tree is on the host at the moment."""

    FILE = "file"
    SYMLINK = "symlink"
    GITLINK = "gitlink"
    """A submodule: arrives as an empty directory, as after a plain `git clone`."""


@dataclass(frozen=True)
class WorkFile:
    """One name that will be sent."""

    name: bytes
    kind: FileKind
    size_bytes: int


@dataclass(frozen=True)
class Change:
    """One tracked name that differs; the letters are those of `git status --short`."""

    name: bytes
    staged: str
    unstaged: str


@dataclass(frozen=True)
class Settings:
    """What of the repository's configuration follows into the guest."""

    options: tuple[tuple[str, bytes], ...] = ()
    """Keys such as `user.name` with their values; only those that `settings.py` names."""
    exclude: bytes = b""
    """The user's and the repository's own ignore patterns, for `info/exclude`."""
    attributes: bytes = b""
    sparse_patterns: bytes = b""


@dataclass(frozen=True)
class RepositoryFacts:
    """A repository as it was at one moment. Holding it needs no file and no lock."""

    places: Places
    head_commit: str | None
    head_branch: str | None
    """The branch that is checked out; None: detached."""
    commit: str
    """What will be checked out in the guest: `head_commit`, or that of `--from`."""
    branch: str | None
    """The branch in the guest: `head_branch`, or the new one."""
    has_parents: bool
    index: bytes | None
    """A private copy, refreshed; None: there is none, or another commit is checked out."""
    index_mtime_s: int
    """With the index, since git compares the two to find racily clean entries."""
    files: tuple[WorkFile, ...]
    """Tracked files that exist, and untracked ones if they were asked for; sorted."""
    changes: tuple[Change, ...]
    untracked: tuple[bytes, ...]
    untracked_included: bool
    conflicts: tuple[bytes, ...]
    submodules: tuple[bytes, ...]
    left_out: tuple[bytes, ...]
    """Names that cannot be sent: sockets, pipes, devices, repositories within."""
    settings: Settings

    @property
    def top(self) -> Path:
        return self.places.top

    @property
    def other_commit(self) -> bool:
        """Whether the guest gets another commit than the one that is checked out here."""
        return self.commit != self.head_commit

    @property
    def untracked_left_out(self) -> int:
        return 0 if self.untracked_included else len(self.untracked)

    @property
    def bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class ImportPlan:
    """What a prepare will do. Complete: acting on it asks nobody anything."""

    facts: RepositoryFacts
    guest_path: str

    @property
    def host_path(self) -> str:
        return str(self.facts.top)

    @property
    def commit(self) -> str:
        return self.facts.commit

    @property
    def branch(self) -> str | None:
        return self.facts.branch

    @property
    def files(self) -> tuple[WorkFile, ...]:
        return self.facts.files

    @property
    def bytes(self) -> int:
        return self.facts.bytes

    @property
    def untracked_left_out(self) -> int:
        return self.facts.untracked_left_out


@dataclass(frozen=True)
class PreparedWorkspace:
    """What arrived in the guest."""

    host_path: str
    guest_path: str
    commit: str
    branch: str | None
    files: int
    bytes: int
    untracked_left_out: int
    base: str
    """The id of what an export is compared with (`base.py`)."""
    notices: tuple[str, ...]
    """Sentences that the user should see."""


@dataclass(frozen=True)
class ExportedBranch:
    """A branch of the host's repository that now has the guest's commits."""

    branch: str | None
    """None: nothing has changed since the prepare, so there is no `fresh` one."""
    commit: str
    commits: int
    files: int
    """How many differ from the prepared commit."""
    uncommitted: int
    """Changed or untracked files in the guest that are not part of the branch."""
    notices: tuple[str, ...] = ()
    """Sentences about what cannot come back."""
