"""Workspaces: copy a git repository of the host into a guest, and export its changes.

Prepare is `inspect_repository` (reads the host, needs no VM), `plan_import` (pure) and
`import_workspace` (guest I/O, under the VM's workspace lock only). Export is
`export_patch` or `export_branch`. Repositories and guests are both hostile: see `git.py`
for repositories, `guesttree.py` and `branches.py` for guests.

Names are imported on first use: the command line needs only `locate_repository`
and must not pay for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from banger.lazynames import export_lazily

if TYPE_CHECKING:
    from banger.workspace.applying import Applied, apply_changes
    from banger.workspace.base import list_bases, remove_base
    from banger.workspace.branches import export_branch
    from banger.workspace.exporting import export_patch
    from banger.workspace.facts import (
        ExportedBranch,
        ImportPlan,
        PreparedWorkspace,
        RepositoryFacts,
    )
    from banger.workspace.importing import import_workspace, plan_import
    from banger.workspace.inspect import inspect_repository
    from banger.workspace.locate import locate_directory, locate_repository
    from banger.workspace.names import parse_directory
    from banger.workspace.plain import inspect_directory
    from banger.workspace.precheck import require_branch_possible
    from banger.workspace.readonly import make_read_only
    from banger.workspace.refreshing import (
        count_stale,
        import_again,
        is_stale,
        renew_record,
        require_untouched,
    )
    from banger.workspace.showing import show_changes
    from banger.workspace.status import NameChange, WorkspaceStatus, read_status
    from banger.workspace.syncing import Synced, sync_workspace

__getattr__ = export_lazily(
    __name__,
    {
        "applying": "Applied apply_changes",
        "base": "list_bases remove_base",
        "branches": "export_branch",
        "exporting": "export_patch",
        "facts": "ExportedBranch ImportPlan PreparedWorkspace RepositoryFacts",
        "importing": "import_workspace plan_import",
        "inspect": "inspect_repository",
        "locate": "locate_directory locate_repository",
        "names": "parse_directory",
        "plain": "inspect_directory",
        "precheck": "require_branch_possible",
        "readonly": "make_read_only",
        "refreshing": "count_stale import_again is_stale renew_record require_untouched",
        "showing": "show_changes",
        "status": "NameChange WorkspaceStatus read_status",
        "syncing": "Synced sync_workspace",
    },
)
