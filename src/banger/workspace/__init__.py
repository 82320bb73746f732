"""Workspaces: copy a git repository of the host into a guest, and export its changes.

Prepare is `inspect_repository` (reads the host, needs no VM), `plan_import` (pure) and
`import_workspace` (guest I/O, under the VM's workspace lock only). Export is
`export_patch` or `export_branch`. Repositories and guests are both hostile: see `git.py`
for repositories, `guesttree.py` and `branches.py` for guests.

Names are imported on first use: the command line needs only `locate_repository`
and must not pay for the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

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

_HOMES = {
    "count_stale": "refreshing",
    "import_again": "refreshing",
    "is_stale": "refreshing",
    "renew_record": "refreshing",
    "require_untouched": "refreshing",
    "Applied": "applying",
    "ExportedBranch": "facts",
    "ImportPlan": "facts",
    "NameChange": "status",
    "PreparedWorkspace": "facts",
    "RepositoryFacts": "facts",
    "WorkspaceStatus": "status",
    "apply_changes": "applying",
    "export_branch": "branches",
    "export_patch": "exporting",
    "import_workspace": "importing",
    "inspect_directory": "plain",
    "inspect_repository": "inspect",
    "list_bases": "base",
    "locate_directory": "locate",
    "locate_repository": "locate",
    "make_read_only": "readonly",
    "parse_directory": "names",
    "plan_import": "importing",
    "read_status": "status",
    "remove_base": "base",
    "require_branch_possible": "precheck",
    "show_changes": "showing",
    "Synced": "syncing",
    "sync_workspace": "syncing",
}

__all__ = [
    "Applied",
    "ExportedBranch",
    "ImportPlan",
    "NameChange",
    "PreparedWorkspace",
    "RepositoryFacts",
    "Synced",
    "WorkspaceStatus",
    "apply_changes",
    "count_stale",
    "export_branch",
    "export_patch",
    "import_again",
    "import_workspace",
    "inspect_directory",
    "inspect_repository",
    "is_stale",
    "list_bases",
    "locate_directory",
    "locate_repository",
    "make_read_only",
    "parse_directory",
    "plan_import",
    "read_status",
    "remove_base",
    "renew_record",
    "require_branch_possible",
    "require_untouched",
    "show_changes",
    "sync_workspace",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
