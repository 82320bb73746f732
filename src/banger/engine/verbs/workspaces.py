"""Put a repository into a guest and bring the result back.

Two phases (hazard C1): that the VM runs, and its connection, are looked up without
any lock; then L3 is held for the guest I/O, which may take long, while `stop`, `delete`
and the rest go on as they like: ending the VM ends the connection, and that ends
the import. The record is saved last, so an export never sees a half-made import; if
this process dies before, the workspace counts as not prepared and can be prepared again.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable

from banger import guest, store, workspace
from banger.api.method import serves
from banger.api.requests import (
    WorkspaceInspect,
    WorkspacePrepare,
)
from banger.api.results import ExportedBranch, PreparedWorkspace, WorkspacePlan
from banger.api.workspaces import WorkspaceExport, WorkspaceExportBranch
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm, reload_vm
from banger.engine.state.operations import Operation
from banger.engine.state.runtime import hold_workspace
from banger.engine.transitions.sweep import sweep_bases
from banger.errors import InvalidRequest, WorkspaceNotFound
from banger.host.files import ensure_private_dir
from banger.model.excluding import render_patterns, require_patterns
from banger.model.vm import VmRecord, WorkspaceRecord

NOTHING_TO_EXPORT = "The workspace is read-only: there is nothing to export."
TRANSFER_DEADLINE_S = 3600.0
"""For one import or export: a repository of many GB into an emulated guest takes this long."""


@serves("workspace.inspect")
async def inspect_workspace(engine: Engine, params: WorkspaceInspect) -> WorkspacePlan:
    """Tell what a prepare would send, and do nothing else."""
    plan = await plan_workspace(engine, params)
    if params.result is not None:
        await workspace.require_branch_possible(params.path, params.result)
    return WorkspacePlan(
        host_path=plan.host_path,
        guest_path=plan.guest_path,
        commit=None if plan.facts.is_plain else plan.commit,
        branch=plan.branch,
        files=[
            file.name.decode("utf-8", "backslashreplace")
            for file in (plan.files if params.names else ())
        ],
        bytes=plan.bytes,
        untracked_left_out=plan.untracked_left_out,
    )


@serves("workspace.prepare")
async def prepare_workspace(
    engine: Engine, op: Operation, params: WorkspacePrepare
) -> PreparedWorkspace:
    """Make the workspace of a repository in a running VM."""
    directory = workspace.parse_directory(params.directory)
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    op.progress("inspect")
    plan = await plan_workspace(engine, params)
    async with hold_workspace(engine.runtime(record.id), op):
        done = await workspace.import_workspace(
            guest.ConnectedGuest(connection),
            plan,
            deadline_s=TRANSFER_DEADLINE_S,
            bases=engine.layout.workspaces,
            progress=op.progress,
            scratch=ensure_private_dir(engine.layout.scratch),
            read_only=params.read_only,
        )
        saved = WorkspaceRecord(
            host_path=done.host_path,
            guest_path=done.guest_path,
            commit=done.commit,
            branch=done.branch,
            directory=directory,
            base=done.base,
            is_plain=plan.facts.is_plain,
            include_untracked=params.include_untracked,
            full=params.full,
            has_new_branch=params.branch is not None,
            exclude=params.exclude,
            is_read_only=params.read_only,
        )
        await engine.database.write(store.update_workspace, record.id, saved)
    await sweep_bases(engine)
    return PreparedWorkspace(
        guest_path=done.guest_path,
        commit=None if plan.facts.is_plain else done.commit,
        branch=done.branch,
        files=done.files,
        bytes=done.bytes,
        untracked_left_out=done.untracked_left_out,
        notices=list(done.notices),
    )


async def export_workspace(
    engine: Engine, op: Operation, params: WorkspaceExport, *, notify: Callable[[str], None]
) -> AsyncGenerator[bytes, None]:
    """Yield everything that changed since the repository was put in, as one patch (A3).

    `notify` gets a sentence for each kind of thing that cannot come back, before the first byte.

    Raises:
        WorkspaceNotFound: the VM has none.
        ExportTooLarge: there is more than a patch may hold.
    """
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    async with hold_workspace(engine.runtime(record.id), op):
        prepared = require_workspace(await reload_vm(engine, record.id))
        if params.since_commit:
            require_repository(prepared)
        if prepared.is_read_only:
            notify(NOTHING_TO_EXPORT)
            return
        patch = workspace.export_patch(
            guest.ConnectedGuest(connection),
            prepared,
            deadline_s=TRANSFER_DEADLINE_S,
            bases=engine.layout.workspaces,
            since_commit=params.since_commit,
            notify=notify,
            scratch=ensure_private_dir(engine.layout.scratch),
        )
        async with contextlib.aclosing(patch) as chunks:
            async for chunk in chunks:
                yield chunk


@serves("workspace.export_branch")
async def export_workspace_branch(
    engine: Engine, op: Operation, params: WorkspaceExportBranch
) -> ExportedBranch:
    """Fetch the guest's commits into a branch of the host's repository."""
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    async with hold_workspace(engine.runtime(record.id), op):
        op.progress("fetch")
        prepared = require_workspace(await reload_vm(engine, record.id))
        require_repository(prepared)
        if prepared.is_read_only:
            return _export_nothing(prepared, params)
        done = await workspace.export_branch(
            guest.ConnectedGuest(connection),
            prepared,
            branch=params.branch,
            include_uncommitted=params.include_uncommitted,
            fresh=params.fresh,
            deadline_s=TRANSFER_DEADLINE_S,
            bases=engine.layout.workspaces,
            scratch=ensure_private_dir(engine.layout.scratch),
        )
    return ExportedBranch(
        branch=done.branch,
        commit=done.commit,
        commits=done.commits,
        files=done.files,
        uncommitted=done.uncommitted,
        notices=list(done.notices),
    )


def _export_nothing(record: WorkspaceRecord, params: WorkspaceExportBranch) -> ExportedBranch:
    """Return what a branch of a read-only workspace is: none.

    Raises:
        InvalidRequest: a branch was asked for whether anything changed or not.
    """
    if not params.fresh:
        raise InvalidRequest(
            NOTHING_TO_EXPORT, hint=f"git -C {record.host_path} branch {params.branch} REF"
        )
    return ExportedBranch(
        branch=None, commit=record.commit, commits=0, files=0, uncommitted=0, notices=[]
    )


async def plan_workspace(
    engine: Engine, params: WorkspacePrepare | WorkspaceInspect, *, renews: bool = False
) -> workspace.ImportPlan:
    """Return what a prepare would do; needs no VM. `renews`: as of `inspect_repository`."""
    require_patterns(params.exclude)
    exclude = render_patterns(params.exclude)
    scratch = ensure_private_dir(engine.layout.scratch)
    if params.plain:
        _require_no_options_of_repositories(params)
        plain = await workspace.inspect_directory(params.path, exclude=exclude, scratch=scratch)
        return workspace.plan_import(plain, params.guest_path)
    facts = await workspace.inspect_repository(
        params.path,
        include_untracked=params.include_untracked,
        branch=params.branch,
        from_ref=params.from_ref,
        full=params.full,
        exclude=exclude,
        scratch=scratch,
        renews=renews,
    )
    return workspace.plan_import(facts, params.guest_path)


def _require_no_options_of_repositories(params: WorkspacePrepare | WorkspaceInspect) -> None:
    given = {
        "branch": params.branch,
        "from_ref": params.from_ref,
        "full": params.full,
        "include_untracked": params.include_untracked,
        "result": isinstance(params, WorkspaceInspect) and params.result,
    }
    if wrong := [name for name, value in given.items() if value]:
        raise InvalidRequest(f"A plain directory has no {', '.join(wrong)}.")


def require_repository(record: WorkspaceRecord) -> None:
    """Check that a workspace has commits.

    Raises:
        InvalidRequest: it is of a plain directory.
    """
    if record.is_plain:
        raise InvalidRequest(
            f"{record.host_path} was copied as a plain directory: it has no commits or branches.",
            hint="banger vm workspace export VM -o FILE",
        )


def require_workspace(record: VmRecord) -> WorkspaceRecord:
    """Return the VM's workspace.

    Raises:
        WorkspaceNotFound: it has none.
    """
    if record.workspace is None:
        raise WorkspaceNotFound(
            f"The VM {record.spec.name} has no workspace.",
            hint=f"banger vm workspace prepare {record.spec.name} PATH",
        )
    return record.workspace
