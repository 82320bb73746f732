"""Values of imports and exports: a repository's facts, an import's plan, and the results.

Frozen values; nothing here touches the machine. Names are bytes as in git: relative
to the top of the work tree, separated by slashes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from banger.workspace.locate import Places

Progress = Callable[[str, int, int], None]
"""Called with a stage, the bytes done and the total bytes (0: unknown)."""


class FileKind(StrEnum):
    """Type of a file in the host's work tree."""

    FILE = "file"
    SYMLINK = "symlink"
    GITLINK = "gitlink"
    """A submodule, which arrives as an empty directory, as after a plain `git clone`."""


@dataclass(frozen=True)
class WorkFile:
    """A file to send."""

    name: bytes
    kind: FileKind
    size_bytes: int


@dataclass(frozen=True)
class Change:
    """A tracked file with changes; the letters are those of `git status --short`."""

    name: bytes
    staged: str
    unstaged: str


@dataclass(frozen=True)
class Settings:
    """The part of the repository's configuration that is copied into the guest."""

    options: tuple[tuple[str, bytes], ...] = ()
    """Keys such as `user.name` with their values; only keys that `settings.py` lists."""
    exclude: bytes = b""
    """The user's and the repository's own ignore patterns, for `info/exclude`."""
    attributes: bytes = b""
    sparse_patterns: bytes = b""


@dataclass(frozen=True)
class RepositoryFacts:
    """A repository at one moment. Needs no open file and no lock."""

    places: Places
    head_commit: str | None
    head_branch: str | None
    """The branch that is checked out; None if HEAD is detached."""
    commit: str
    """The commit to check out in the guest: `head_commit`, or the commit of `--from`."""
    branch: str | None
    """The branch in the guest: `head_branch`, or the new branch."""
    has_parents: bool
    index: bytes | None
    """A private, refreshed copy; None if there is no index or `--from` names another commit."""
    index_mtime_s: int
    """The index's time, since git compares entries with it to find racily clean ones."""
    files: tuple[WorkFile, ...]
    """Tracked files that exist, and untracked files if requested; sorted."""
    changes: tuple[Change, ...]
    untracked: tuple[bytes, ...]
    untracked_included: bool
    conflicts: tuple[bytes, ...]
    submodules: tuple[bytes, ...]
    left_out: tuple[bytes, ...]
    """Names that cannot be sent: sockets, pipes, devices, nested repositories."""
    settings: Settings

    @property
    def top(self) -> Path:
        return self.places.top

    @property
    def other_commit(self) -> bool:
        """Whether the guest gets another commit than the host's HEAD."""
        return self.commit != self.head_commit

    @property
    def untracked_left_out(self) -> int:
        return 0 if self.untracked_included else len(self.untracked)

    @property
    def bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class ImportPlan:
    """The complete plan of a prepare, which needs no further input."""

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
    """The result of a prepare."""

    host_path: str
    guest_path: str
    commit: str
    branch: str | None
    files: int
    bytes: int
    untracked_left_out: int
    base: str
    """The id of the base that exports compare with (`base.py`)."""
    notices: tuple[str, ...]
    """Sentences to show to the user."""


@dataclass(frozen=True)
class ExportedBranch:
    """A branch of the host's repository that now has the guest's commits."""

    branch: str | None
    """None if nothing has changed since the prepare, so that no `fresh` branch was created."""
    commit: str
    commits: int
    files: int
    """Number of files that differ from the prepared commit."""
    uncommitted: int
    """Number of changed or untracked files in the guest that the branch does not include."""
    notices: tuple[str, ...] = ()
    """Sentences about changes that cannot be exported."""
