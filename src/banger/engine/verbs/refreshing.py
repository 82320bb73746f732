"""Before a command runs: report that the host's files have changed, or copy them again.

To tell costs one stat(2) for each file that was copied, so it is done for a person at a terminal
only. To copy again holds L3, as a prepare does.
"""

from __future__ import annotations

import asyncio

from banger import guest, store, workspace
from banger.api.requests import WorkspacePrepare
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, reload_vm
from banger.engine.state.operations import Operation
from banger.engine.state.runtime import hold_workspace
from banger.engine.transitions.sweep import sweep_bases
from banger.engine.verbs.workspaces import TRANSFER_DEADLINE_S, plan_workspace, require_workspace
from banger.errors import BangerError
from banger.host.files import ensure_private_dir
from banger.model.ifstale import IfStale
from banger.model.vm import VmRecord, WorkspaceRecord


async def refresh_workspace(
    engine: Engine, op: Operation, record: VmRecord, if_stale: IfStale
) -> None:
    """Do what a command wants to be done about a workspace whose host's files have changed.

    Raises:
        WorkspaceNotFound: there is none to copy again.
        ChangesConflict: the guest has changes of its own, which a copy would move aside.
        others: as `prepare_workspace`.
    """
    if if_stale is IfStale.PREPARE:
        await _prepare_if_stale(engine, op, record)
    elif if_stale is IfStale.NOTICE and record.workspace is not None:
        await _tell_if_stale(engine, op, record, record.workspace)


async def _tell_if_stale(
    engine: Engine, op: Operation, record: VmRecord, prepared: WorkspaceRecord
) -> None:
    try:
        number = await asyncio.to_thread(
            workspace.count_stale, prepared, bases=engine.layout.workspaces
        )
    except BangerError:
        return  # The command does not need the host's files.
    if number:
        files = "1 file" if number == 1 else f"{number} files"
        op.note(
            "notice",
            f"{files} of {prepared.host_path} changed since they were copied; to copy them again: "
            f"banger vm exec --auto-prepare {record.spec.name} ...",
        )


async def _prepare_if_stale(engine: Engine, op: Operation, record: VmRecord) -> None:
    connection = guest.ConnectedGuest(await get_connection(engine, record))
    scratch = ensure_private_dir(engine.layout.scratch)
    bases = engine.layout.workspaces
    async with hold_workspace(engine.runtime(record.id), op):
        prepared = require_workspace(await reload_vm(engine, record.id))
        op.progress("inspect")
        if not await workspace.is_stale(prepared, bases=bases, scratch=scratch):
            return
        await workspace.require_untouched(
            connection,
            prepared,
            vm=record.spec.name,
            deadline_s=TRANSFER_DEADLINE_S,
            bases=bases,
            scratch=scratch,
        )
        plan = await plan_workspace(engine, _params_of(record, prepared), renews=True)
        done = await workspace.import_again(
            connection,
            plan,
            prepared,
            deadline_s=TRANSFER_DEADLINE_S,
            bases=bases,
            progress=op.progress,
            scratch=scratch,
        )
        saved = workspace.renew_record(prepared, done)
        await engine.database.write(store.update_workspace, record.id, saved)
    await sweep_bases(engine)
    files = "1 file was" if done.files == 1 else f"{done.files} files were"
    op.note("notice", f"{done.host_path} had changed: {files} copied again.")


def _params_of(record: VmRecord, prepared: WorkspaceRecord) -> WorkspacePrepare:
    return WorkspacePrepare(
        ref=record.id,
        path=prepared.host_path,
        guest_path=prepared.guest_path,
        include_untracked=prepared.include_untracked,
        branch=prepared.branch if prepared.has_new_branch else None,
        full=prepared.full,
        exclude=prepared.exclude,
        plain=prepared.is_plain,
    )
