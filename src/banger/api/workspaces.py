"""Parameters and results of the methods that export and look at workspaces, and apply changes."""

from __future__ import annotations

from msgspec import Struct, field

from banger.api.requests import Params
from banger.model.diffs import DiffStyle
from banger.model.sides import Side


class WorkspaceExport(Params, frozen=True):
    """The patch is sent on channel 1 of the stream."""

    ref: str
    since_commit: bool = False
    """Diff against the prepared commit instead of the tree as it was copied in."""


class WorkspaceExportBranch(Params, frozen=True):
    ref: str
    branch: str
    include_uncommitted: bool = False
    """Commit uncommitted changes on top; the guest is not changed."""
    fresh: bool = False
    """Never advance an existing branch: use NAME-2, NAME-3 ...; no branch if nothing changed."""


class WorkspaceDiff(Params, frozen=True):
    """The text is sent on channel 1 of the stream."""

    ref: str
    style: DiffStyle = DiffStyle.PATCH
    """`stat`: numbers of lines; `word`: changed words in `[-` `-]` and `{+` `+}`."""
    since_commit: bool = False
    """Diff against the prepared commit instead of the tree as it was copied in."""
    width: int = 80
    """Columns of `stat`, 40 to 1000."""


class WorkspaceApply(Params, frozen=True):
    """Nothing is written if there are conflicts, unless `three_way`."""

    ref: str
    three_way: bool = False
    """Write what does not conflict, and git's conflict marks into files that can hold them."""
    check: bool = False
    """Return what would be done, write nothing."""


class WorkspaceSync(Params, frozen=True):
    """Names that conflict stay as they are on both sides; the others are synced."""

    ref: str
    check: bool = False
    """Return what would be done, write nothing."""
    prefer: Side | None = None
    """Replace conflicting files with those of this side. Some conflicts stay: two names that differ
    only in case, a file where the other side has a directory, an untracked file of the host."""
    names: list[str] = field(default_factory=list)
    """With `prefer`: only these names, and what is below them."""


class WorkspaceChange(Struct, frozen=True, kw_only=True):
    name: str
    status: str
    """A: added, D: deleted, M: modified, T: another type of file."""


class WorkspaceStatus(Struct, frozen=True, kw_only=True):
    """A workspace in the guest and its files on the host, both since the prepare."""

    host_path: str
    guest_path: str
    commit: str | None
    """The prepared commit; null: a plain directory."""
    branch: str | None
    guest_commit: str | None
    """Null, like the next two, if the guest's git cannot tell."""
    guest_branch: str | None
    guest_commits: int | None
    """Number of commits since the prepared one."""
    changes: list[WorkspaceChange]
    """In the guest, committed or not."""
    host_commit: str | None
    host_branch: str | None
    host_changes: list[WorkspaceChange]
    """Detected by size, time and mode."""
    is_read_only: bool
    is_stale: bool | None
    """Whether the host's files have changed since the copy; null: they cannot be read."""
    notices: list[str]
    """Sentences for the user."""


class ApplyConflict(Struct, frozen=True, kw_only=True):
    name: str
    reason: str
    """For people to read."""


class AppliedChanges(Struct, frozen=True, kw_only=True):
    """What `workspace.apply` did, or with conflicts or `check` would do, on the host."""

    done: bool
    """False: nothing was written."""
    written: list[str]
    removed: list[str]
    merged: list[str]
    """Files that both sides changed, merged without conflicts."""
    marked: list[str]
    """Conflicting files that now contain git's conflict marks."""
    conflicts: list[ApplyConflict]
    notices: list[str]
    """Sentences about what cannot be applied."""


class SyncedSide(Struct, frozen=True, kw_only=True):
    """What was changed, or with `check` would be, on one side."""

    written: list[str]
    removed: list[str]


class SyncConflict(Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    """both-changed, both-added, deleted-on-host, deleted-in-guest, renamed, mode, type, case,
    file-in-the-way, directory-in-the-way, untracked or changed-meanwhile."""
    reason: str
    """The kind as a sentence for people to read."""
    other: str | None
    """The other name, if the kind is `renamed` or `case`."""


class SyncedWorkspace(Struct, frozen=True, kw_only=True):
    """What `workspace.sync` did, or with `check` would do."""

    host: SyncedSide
    guest: SyncedSide
    conflicts: list[SyncConflict]
    """Names that were left unchanged on both sides."""
    notices: list[str]
    """Sentences about names that are never synced."""
