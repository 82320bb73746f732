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
    DIRECTORY = "directory"
    """An empty directory of a plain directory; git has none."""
    GITLINK = "gitlink"
    """The directory of a submodule; without contents, it is as after a plain `git clone`."""


@dataclass(frozen=True, slots=True)
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
class Ref:
    """A reference to copy, with the object that it names."""

    name: str
    target: str
    """An object's id; of a symbolic reference, the name of another reference."""

    @property
    def is_symbolic(self) -> bool:
        return self.target.startswith("refs/")


@dataclass(frozen=True)
class Submodule:
    """A submodule that has contents on the host."""

    name: bytes
    """Its directory, relative to the top of the repository that contains it."""
    label: str | None
    """Its name in `.gitmodules`, if it has one."""
    url: bytes
    """Where its repository comes from, without credentials; empty if unknown."""
    facts: RepositoryFacts


@dataclass(frozen=True)
class History:
    """What a full copy has in addition to one commit and its files."""

    refs: tuple[Ref, ...]
    """Branches, tags, origin's branches, notes and replacements; sorted by name."""
    boundary: tuple[str, ...]
    """Commits whose parents the host's own repository lacks, since it is shallow."""
    options: tuple[tuple[str, bytes], ...]
    """The upstreams of the branches, as configuration keys and values."""
    large_files: tuple[WorkFile, ...]
    """Objects of Git LFS that the host has, with names relative to the common git directory."""
    submodules: tuple[Submodule, ...] = ()


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
    history: History | None = None
    """None unless all history is copied."""
    is_plain: bool = False
    """Whether this is a directory without a repository (`plain.py`)."""
    patterns: bytes = b""
    """The patterns of what is left out, as an ignore file (`excluding.py`)."""
    below: bytes = b""
    """Of a submodule: its directory in the copied repository, with a slash."""
    excluded: tuple[bytes, ...] = ()
    """The tracked names that are left out, with what they name."""

    @property
    def lacks_objects(self) -> bool:
        """Whether files of the commit, or of its history, are left out of the pack, too."""
        return bool(self.excluded or (self.patterns and self.history))

    @property
    def top(self) -> Path:
        return self.places.top

    @property
    def other_commit(self) -> bool:
        """Whether the guest gets another commit than the host's HEAD."""
        return self.commit != self.head_commit

    @property
    def boundary(self) -> tuple[str, ...]:
        """The commits in the guest that have parents which are not copied."""
        if self.history is not None:
            return self.history.boundary
        return (self.commit,) if self.has_parents else ()

    @property
    def empty_directories(self) -> tuple[bytes, ...]:
        return tuple(file.name for file in self.files if file.kind is FileKind.DIRECTORY)

    @property
    def with_contents(self) -> tuple[Submodule, ...]:
        """The submodules that are copied with their contents."""
        return self.history.submodules if self.history else ()

    @property
    def untracked_left_out(self) -> int:
        own = 0 if self.untracked_included else len(self.untracked)
        return own + sum(each.facts.untracked_left_out for each in self.with_contents)

    @property
    def all_files(self) -> tuple[WorkFile, ...]:
        """The files with those of the submodules, whose names begin with their directories."""
        return self.files + tuple(
            WorkFile(each.name + b"/" + file.name, file.kind, file.size_bytes)
            for each in self.with_contents
            for file in each.facts.all_files
        )

    @property
    def bytes(self) -> int:
        large = self.history.large_files if self.history else ()
        own = sum(file.size_bytes for file in (*self.files, *large))
        return own + sum(each.facts.bytes for each in self.with_contents)


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
        return self.facts.all_files

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
