"""`workspace.export`, `workspace.diff`: what changed in a guest, as a stream."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from banger.api.method import serves
from banger.api.results import StartedExport
from banger.api.stream import STDOUT
from banger.api.workspaces import WorkspaceDiff, WorkspaceExport
from banger.daemon.calls import DONE, Call, Exit
from banger.engine.state.engine import Engine
from banger.engine.verbs.workspacechanges import diff_workspace
from banger.engine.verbs.workspaces import export_workspace


@serves("workspace.export")
async def export(engine: Engine, call: Call, params: WorkspaceExport) -> Exit:
    """Send the patch."""
    notices: list[str] = []
    patch = export_workspace(engine, call.operation, params, notify=notices.append)
    return await _send(call, patch, notices)


@serves("workspace.diff")
async def diff(engine: Engine, call: Call, params: WorkspaceDiff) -> Exit:
    """Send the changes as text for people."""
    notices: list[str] = []
    text = diff_workspace(engine, call.operation, params, notify=notices.append)
    return await _send(call, text, notices)


async def _send(call: Call, text: AsyncGenerator[bytes, None], notices: list[str]) -> Exit:
    """Send a text in chunks; `notices` is complete when the first one comes."""
    # Close the generator at once on a disconnect, since it holds the workspace's lock.
    async with contextlib.aclosing(text) as chunks:
        # Fetch the first chunk early: an error at the start becomes a plain error reply.
        chunk = await anext(chunks, None)
        stream = await call.start_stream(StartedExport(notices=notices))
        while chunk is not None:
            await stream.write(STDOUT, chunk)
            chunk = await anext(chunks, None)
    return DONE
