"""The workspace of a VM: the copy of a repository, and what comes back from it.

Made by `make docs` from `sdk/aio/workspace.py`; do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from banger.sdk.sync.daemon import Daemon
from banger.sdk.sync.exchange import exchange

if TYPE_CHECKING:
    from banger.api.documents import (
        AppliedChanges,
        ExportedBranch,
        SyncedWorkspace,
        WorkspaceExportBranch,
        WorkspaceStatus,
        WorkspaceSync,
    )


class Workspace:
    """The workspace of a VM."""

    def __init__(self, daemon: Daemon, vm_id: str) -> None:
        self._daemon = daemon
        self._ref = vm_id

    def status(self) -> WorkspaceStatus:
        """Return what changed in the VM and on the host since it was copied in."""
        return self._daemon.call("workspace.status", {"ref": self._ref})

    def diff(
        self,
        *,
        style: Literal["patch", "stat", "word"] = "patch",
        since_commit: bool = False,
        width: int = 80,
    ) -> str:
        """Return the VM's changes as text for people to read; `export_patch` is for programs.

        With `since_commit` compared with the commit, not with the files as they were copied in.
        The text comes from the VM: it may hold control characters for a terminal.
        """
        params = {"ref": self._ref, "style": style, "since_commit": since_commit, "width": width}
        output = exchange(self._daemon, "workspace.diff", params)
        return output.stdout.decode("utf-8", "replace")

    def apply(self, *, three_way: bool = False, check: bool = False) -> AppliedChanges:
        """Write the VM's changes into the files of the host; with `check` only tell which.

        Nothing is written if there are conflicts; with `three_way` files get conflict marks.
        """
        return self._daemon.call(
            "workspace.apply", {"ref": self._ref, "three_way": three_way, "check": check}
        )

    def sync(
        self,
        *,
        check: bool = False,
        prefer: Literal["host", "guest"] | None = None,
        names: list[str] | None = None,
    ) -> SyncedWorkspace:
        """Copy what either side changed to the other; with `check` only tell what would be.

        Names that conflict stay as they are; with `prefer` they become what that side has, or
        with `names` only these.
        """
        params: WorkspaceSync = {"ref": self._ref, "check": check, "prefer": prefer}
        if names is not None:
            params["names"] = names
        return self._daemon.call("workspace.sync", params)

    def export_patch(self, *, since_commit: bool = False) -> bytes:
        """Return all changes since it was copied in, or since the commit, as one patch."""
        params = {"ref": self._ref, "since_commit": since_commit}
        return (exchange(self._daemon, "workspace.export", params)).stdout

    def export_branch(
        self, branch: str, *, include_uncommitted: bool = False, fresh: bool = False
    ) -> ExportedBranch:
        """Fetch the VM's commits into a branch of the repository that was copied in.

        With `include_uncommitted` also what is not committed; with `fresh` an existing branch
        stays as it is, and NAME-2 is made.
        """
        params: WorkspaceExportBranch = {
            "ref": self._ref,
            "branch": branch,
            "include_uncommitted": include_uncommitted,
            "fresh": fresh,
        }
        return self._daemon.call("workspace.export_branch", params)
