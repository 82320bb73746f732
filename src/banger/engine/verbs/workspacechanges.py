"""Show a workspace's state and changes, and apply the changes to the host.

As an export: L3 is held for the guest I/O, and nothing is written in the guest.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable

from banger import guest, workspace
from banger.api.method import serves
from banger.api.requests import VmRef
from banger.api.workspaces import (
    AppliedChanges,
    ApplyConflict,
    WorkspaceApply,
    WorkspaceChange,
    WorkspaceDiff,
    WorkspaceStatus,
)
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm, reload_vm
from banger.engine.state.operations import Operation
from banger.engine.state.runtime import hold_workspace
from banger.engine.verbs.workspaces import (
    NOTHING_TO_EXPORT,
    TRANSFER_DEADLINE_S,
    require_repository,
    require_workspace,
)
from banger.errors import InvalidRequest
from banger.host.files import ensure_private_dir
from banger.model.vm import WorkspaceRecord

WIDTH_MIN, WIDTH_MAX = 40, 1000


@serves("workspace.status")
async def read_workspace_status(engine: Engine, op: Operation, params: VmRef) -> WorkspaceStatus:
    """Return what changed in the guest and on the host since the prepare."""
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    async with hold_workspace(engine.runtime(record.id), op):
        prepared = require_workspace(await reload_vm(engine, record.id))
        status = await workspace.read_status(
            guest.ConnectedGuest(connection),
            prepared,
            deadline_s=TRANSFER_DEADLINE_S,
            bases=engine.layout.workspaces,
            scratch=ensure_private_dir(engine.layout.scratch),
        )
    return _render_status(prepared, status)


async def diff_workspace(
    engine: Engine, op: Operation, params: WorkspaceDiff, *, notify: Callable[[str], None]
) -> AsyncGenerator[bytes, None]:
    """Yield the guest's changes as text.

    Raises: as `export_workspace`.
    """
    if not WIDTH_MIN <= params.width <= WIDTH_MAX:
        raise InvalidRequest(f"The width {params.width} is not {WIDTH_MIN} to {WIDTH_MAX}.")
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    async with hold_workspace(engine.runtime(record.id), op):
        prepared = require_workspace(await reload_vm(engine, record.id))
        if params.since_commit:
            require_repository(prepared)
        if prepared.is_read_only:
            notify(NOTHING_TO_EXPORT)
            return
        text = workspace.show_changes(
            guest.ConnectedGuest(connection),
            prepared,
            style=params.style,
            width=params.width,
            deadline_s=TRANSFER_DEADLINE_S,
            bases=engine.layout.workspaces,
            since_commit=params.since_commit,
            notify=notify,
            scratch=ensure_private_dir(engine.layout.scratch),
        )
        async with contextlib.aclosing(text) as chunks:
            async for chunk in chunks:
                yield chunk


def _render_status(record: WorkspaceRecord, status: workspace.WorkspaceStatus) -> WorkspaceStatus:
    position, host = status.position, status.host
    return WorkspaceStatus(
        host_path=record.host_path,
        guest_path=record.guest_path,
        commit=None if record.is_plain else record.commit,
        branch=record.branch,
        guest_commit=position.commit if position else None,
        guest_branch=position.branch if position else None,
        guest_commits=position.commits if position else None,
        changes=_render_changes(status.changes),
        host_commit=host.commit if host else None,
        host_branch=host.branch if host else None,
        host_changes=_render_changes(host.changes if host else ()),
        is_read_only=record.is_read_only,
        is_stale=None if host is None else host.is_stale(record),
        notices=list(status.notices),
    )


def _render_changes(changes: Iterable[workspace.NameChange]) -> list[WorkspaceChange]:
    return [WorkspaceChange(name=render_name(each.name), status=each.letter) for each in changes]


@serves("workspace.apply")
async def apply_workspace(engine: Engine, op: Operation, params: WorkspaceApply) -> AppliedChanges:
    """Apply the guest's changes to the host's files."""
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    async with hold_workspace(engine.runtime(record.id), op):
        op.progress("apply")
        prepared = require_workspace(await reload_vm(engine, record.id))
        if prepared.is_read_only:
            return _apply_nothing()
        done = await workspace.apply_changes(
            guest.ConnectedGuest(connection),
            prepared,
            bases=engine.layout.workspaces,
            deadline_s=TRANSFER_DEADLINE_S,
            with_marks=params.three_way,
            check=params.check,
            scratch=ensure_private_dir(engine.layout.scratch),
        )
    conflicts = [(each.name, each.reason) for each in done.conflicts]
    return AppliedChanges(
        done=done.done,
        written=render_names(done.written),
        removed=render_names(done.removed),
        merged=render_names(done.merged),
        marked=render_names(done.marked),
        conflicts=[ApplyConflict(name=render_name(n), reason=str(r)) for n, r in conflicts],
        notices=list(done.notices),
    )


def _apply_nothing() -> AppliedChanges:
    return AppliedChanges(
        done=True,
        written=[],
        removed=[],
        merged=[],
        marked=[],
        conflicts=[],
        notices=[NOTHING_TO_EXPORT],
    )


def render_names(names: Iterable[bytes]) -> list[str]:
    """Return names as text."""
    return [render_name(name) for name in names]


def render_name(name: bytes) -> str:
    """Return a name as text."""
    return name.decode("utf-8", "backslashreplace")
