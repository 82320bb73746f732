"""Workspaces of the scripted daemon: what a status, a diff and an apply say of any VM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from banger.api.requests import VmRef
from banger.api.results import StartedExport
from banger.api.workspaces import (
    AppliedChanges,
    ApplyConflict,
    SyncConflict,
    SyncedSide,
    SyncedWorkspace,
    WorkspaceApply,
    WorkspaceChange,
    WorkspaceDiff,
    WorkspaceStatus,
    WorkspaceSync,
)
from banger.daemon.calls import Call, Exit, Handlers

DIFF = b"diff --git a/x b/x\n@@ -1 +1 @@\n-old \x1b[31mred\x07\n+new \xff\n"
"""With what must not reach a terminal."""


@dataclass(frozen=True)
class ScriptedWorkspaces:
    """Answers for every VM that `labels_of` knows."""

    labels_of: Callable[[str], dict[str, str]]

    async def status(self, _: Call, params: VmRef) -> WorkspaceStatus:
        self.labels_of(params.ref)
        return WorkspaceStatus(
            host_path="/home/u/project",
            guest_path="/root/project",
            commit="1" * 40,
            branch="main",
            guest_commit="2" * 40,
            guest_branch=None,
            guest_commits=2,
            changes=[WorkspaceChange(name="a\x1b[31m", status="M")],
            host_commit="1" * 40,
            host_branch="main",
            host_changes=[WorkspaceChange(name="b", status="D")],
            is_read_only=False,
            is_stale=True,
            notices=["A notice."],
        )

    async def diff(self, call: Call, params: WorkspaceDiff) -> Exit:
        self.labels_of(params.ref)
        stream = await call.start_stream(StartedExport(notices=[]))
        await stream.write(1, f"{params.style} {params.width}\n".encode() + DIFF)
        return {"status": 0}

    async def apply(self, _: Call, params: WorkspaceApply) -> AppliedChanges:
        labels = self.labels_of(params.ref)
        conflicts, is_changed = "conflicts" in labels, "unchanged" not in labels
        return AppliedChanges(
            done=not params.check and (params.three_way or not conflicts),
            written=["a"] * is_changed,
            removed=["b"] * is_changed,
            merged=["c"] * is_changed,
            marked=["d"] if conflicts and params.three_way else [],
            conflicts=[ApplyConflict(name="d", reason="changed on both sides")] * conflicts,
            notices=[],
        )

    async def sync(self, _: Call, params: WorkspaceSync) -> SyncedWorkspace:
        conflicts = bool(self.labels_of(params.ref).get("conflicts")) and not params.names
        conflict = SyncConflict(name="d", kind="case", reason="a reason", other="D\x07")
        return SyncedWorkspace(
            host=SyncedSide(written=[] if params.check else ["a\x1b[31m"], removed=["b"]),
            guest=SyncedSide(written=["c"], removed=[]),
            conflicts=[conflict] * conflicts,
            notices=["A notice."],
        )

    def handlers(self) -> Handlers:
        """Return the handlers."""
        return {
            "workspace.status": self.status,
            "workspace.diff": self.diff,
            "workspace.apply": self.apply,
            "workspace.sync": self.sync,
        }
