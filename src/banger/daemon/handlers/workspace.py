"""`workspace.*`."""

from __future__ import annotations

import contextlib

from banger import engine as verbs
from banger.api.requests import (
    WorkspaceExport,
    WorkspaceExportBranch,
    WorkspaceInspect,
    WorkspacePrepare,
)
from banger.api.results import ExportedBranch, PreparedWorkspace, StartedExport, WorkspacePlan
from banger.api.stream import STDOUT
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
        # Close the generator at once on a disconnect, since it holds the workspace's lock.
        async with contextlib.aclosing(patch) as chunks:
            # Fetch the first chunk early: an error at the start becomes a plain error reply.
            chunk = await anext(chunks, None)
            stream = await call.start_stream(StartedExport(notices=notices))
            while chunk is not None:
                await stream.write(STDOUT, chunk)
                chunk = await anext(chunks, None)
        return {"status": 0}

    async def export_branch(call: Call, params: WorkspaceExportBranch) -> ExportedBranch:
        return await verbs.export_workspace_branch(engine, call.operation, params)

    return {
        "workspace.inspect": inspect,
        "workspace.prepare": prepare,
        "workspace.export": export,
        "workspace.export_branch": export_branch,
    }
