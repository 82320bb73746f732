"""`workspace.*`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from banger import engine as verbs
from banger.api.requests import (
    VmRef,
    WorkspaceExport,
    WorkspaceExportBranch,
    WorkspaceInspect,
    WorkspacePrepare,
)
from banger.api.results import ExportedBranch, PreparedWorkspace, StartedExport, WorkspacePlan
from banger.api.stream import STDOUT
from banger.api.workspaces import (
    AppliedChanges,
    WorkspaceApply,
    WorkspaceDiff,
    WorkspaceStatus,
)
from banger.daemon.calls import Call, Exit, Handlers
from banger.engine import Engine


def workspace_handlers(engine: Engine) -> Handlers:
    """Return the handlers of `workspace.*`."""

    async def inspect(_: Call, params: WorkspaceInspect) -> WorkspacePlan:
        return await verbs.inspect_workspace(engine, params)

    async def prepare(call: Call, params: WorkspacePrepare) -> PreparedWorkspace:
        return await verbs.prepare_workspace(engine, call.operation, params)

    async def export(call: Call, params: WorkspaceExport) -> Exit:
        notices: list[str] = []
        patch = verbs.export_workspace(engine, call.operation, params, notify=notices.append)
        return await _stream(call, patch, notices)

    async def status(call: Call, params: VmRef) -> WorkspaceStatus:
        return await verbs.read_workspace_status(engine, call.operation, params)

    async def diff(call: Call, params: WorkspaceDiff) -> Exit:
        notices: list[str] = []
        text = verbs.diff_workspace(engine, call.operation, params, notify=notices.append)
        return await _stream(call, text, notices)

    async def apply(call: Call, params: WorkspaceApply) -> AppliedChanges:
        return await verbs.apply_workspace(engine, call.operation, params)

    async def export_branch(call: Call, params: WorkspaceExportBranch) -> ExportedBranch:
        return await verbs.export_workspace_branch(engine, call.operation, params)

    return {
        "workspace.inspect": inspect,
        "workspace.prepare": prepare,
        "workspace.export": export,
        "workspace.export_branch": export_branch,
        "workspace.status": status,
        "workspace.diff": diff,
        "workspace.apply": apply,
    }


async def _stream(call: Call, text: AsyncGenerator[bytes, None], notices: list[str]) -> Exit:
    """Send a text in chunks; `notices` is complete when the first one comes."""
    # Close the generator at once on a disconnect, since it holds the workspace's lock.
    async with contextlib.aclosing(text) as chunks:
        # Fetch the first chunk early: an error at the start becomes a plain error reply.
        chunk = await anext(chunks, None)
        stream = await call.start_stream(StartedExport(notices=notices))
        while chunk is not None:
            await stream.write(STDOUT, chunk)
            chunk = await anext(chunks, None)
    return {"status": 0}
