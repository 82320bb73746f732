"""`vm.pause`, `vm.resume`, `vm.fork`, `snapshot.*`."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.requests import SnapshotCreate, SnapshotRef, SnapshotRestore, VmFork, VmRef
from banger.api.results import Deleted, SnapshotView, VmView
from banger.daemon.calls import Call, Handlers
from banger.daemon.handlers.vm import delete_with_connection
from banger.engine import Engine


def snapshot_handlers(engine: Engine) -> Handlers:
    """Return the handlers of pausing, forking and snapshots."""

    async def pause(call: Call, params: VmRef) -> VmView:
        return await verbs.pause_vm(engine, call.operation, params.ref)

    async def resume(call: Call, params: VmRef) -> VmView:
        return await verbs.resume_vm(engine, call.operation, params.ref)

    async def fork(call: Call, params: VmFork) -> list[VmView]:
        views = await verbs.fork_vm(engine, call.operation, params)
        # Only now, as in `vm.create`: until here a disconnect cancels the verb.
        if params.ephemeral:
            delete_with_connection(engine, call, vm_ids=[view.id for view in views])
        return views

    async def create(call: Call, params: SnapshotCreate) -> SnapshotView:
        return await verbs.create_snapshot(engine, call.operation, params)

    async def list_(_: Call, params: VmRef) -> list[SnapshotView]:
        return await verbs.list_snapshots(engine, params.ref)

    async def restore(call: Call, params: SnapshotRestore) -> VmView:
        return await verbs.restore_snapshot(engine, call.operation, params)

    async def delete(call: Call, params: SnapshotRef) -> Deleted:
        return await verbs.delete_snapshot(engine, call.operation, params)

    return {
        "vm.pause": pause,
        "vm.resume": resume,
        "vm.fork": fork,
        "snapshot.create": create,
        "snapshot.list": list_,
        "snapshot.restore": restore,
        "snapshot.delete": delete,
    }
