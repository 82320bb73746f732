"""Sync a workspace and the host's files.

As a prepare: L3 is held for the guest I/O, and the record with the new base is saved last.
"""

from __future__ import annotations

import os

from msgspec.structs import replace

from banger import guest, store, workspace
from banger.api.method import serves
from banger.api.workspaces import SyncConflict, SyncedSide, SyncedWorkspace, WorkspaceSync
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm, reload_vm
from banger.engine.state.operations import Operation
from banger.engine.state.runtime import hold_workspace
from banger.engine.transitions.sweep import sweep_bases
from banger.engine.verbs.workspacechanges import render_name, render_names
from banger.engine.verbs.workspaces import TRANSFER_DEADLINE_S, require_workspace
from banger.errors import InvalidRequest
from banger.host.files import ensure_private_dir


@serves("workspace.sync")
async def sync_workspace(engine: Engine, op: Operation, params: WorkspaceSync) -> SyncedWorkspace:
    """Copy what each side changed to the other, but for conflicts."""
    if params.names and params.prefer is None:
        raise InvalidRequest("Names need a preferred side.")
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    async with hold_workspace(engine.runtime(record.id), op):
        op.progress("sync")
        prepared = require_workspace(await reload_vm(engine, record.id))
        done = await workspace.sync_workspace(
            guest.ConnectedGuest(connection),
            prepared,
            bases=engine.layout.workspaces,
            deadline_s=TRANSFER_DEADLINE_S,
            prefer=params.prefer,
            names=[os.fsencode(name) for name in params.names],
            check=params.check,
            scratch=ensure_private_dir(engine.layout.scratch),
        )
        if done.base is not None:
            saved = replace(prepared, base=done.base)
            await engine.database.write(store.update_workspace, record.id, saved)
    if done.base is not None:
        await sweep_bases(engine)
    return _render(done)


def _render(done: workspace.Synced) -> SyncedWorkspace:
    host, guest_side = (
        SyncedSide(
            written=render_names(sorted(each.write)), removed=render_names(sorted(each.remove))
        )
        for each in (done.host, done.guest)
    )
    conflicts = [
        SyncConflict(
            name=render_name(each.name),
            kind=each.kind,
            reason=each.reason,
            other=None if each.other is None else render_name(each.other),
        )
        for each in done.conflicts
    ]
    return SyncedWorkspace(
        host=host, guest=guest_side, conflicts=conflicts, notices=list(done.notices)
    )
