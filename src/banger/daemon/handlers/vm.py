"""`vm.*`, but for what only looks (`queries`) and what keeps memory (`snapshots`)."""

from __future__ import annotations

import contextlib

from banger import engine as verbs
from banger.api.methods import (
    Deleted,
    StartedExec,
    StartedStream,
    VmCreate,
    VmDelete,
    VmExec,
    VmLogs,
    VmPrune,
    VmRef,
    VmStart,
    VmStop,
    VmView,
)
from banger.api.stream import STDOUT
from banger.daemon.calls import Call, Exit, Handlers
from banger.daemon.relay import relay
from banger.engine import Engine
from banger.errors import BangerError, VmNotFound
from banger.model.names import VmId

DONE: Exit = {"status": 0}


def vm_handlers(engine: Engine) -> Handlers:
    """Return the handlers of everything that runs or ends a VM."""

    async def create(call: Call, params: VmCreate) -> VmView:
        view = await verbs.create_vm(engine, call.operation, params)
        # Only now: a VM that did not become ready is kept, for its console log (hazard H5).
        if params.ephemeral:
            delete_with_connection(engine, call, vm_ids=[view.id])
        return view

    async def start(call: Call, params: VmStart) -> VmView:
        return await verbs.start_vm(engine, call.operation, params)

    async def stop(call: Call, params: VmStop) -> VmView:
        return await verbs.stop_vm(engine, call.operation, params)

    async def kill(call: Call, params: VmRef) -> VmView:
        return await verbs.kill_vm(engine, call.operation, params.ref)

    async def delete(call: Call, params: VmDelete) -> Deleted:
        return await verbs.delete_vm(engine, call.operation, params.ref)

    async def prune(call: Call, params: VmPrune) -> Deleted:
        return await verbs.prune_vms(engine, call.operation, dry_run=params.dry_run)

    async def run(call: Call, params: VmExec) -> Exit:
        session = await verbs.start_exec(engine, params)
        try:
            stream = await call.start_stream(StartedExec(pid=session.pid))
            return await relay(stream, session, timeout_s=params.timeout_s)
        finally:
            await session.close()

    async def logs(call: Call, params: VmLogs) -> Exit:
        chunks = await verbs.open_log(engine, params)
        stream = await call.start_stream(StartedStream())
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                await stream.write(STDOUT, chunk)
        return DONE

    return {
        "vm.create": create,
        "vm.start": start,
        "vm.stop": stop,
        "vm.kill": kill,
        "vm.delete": delete,
        "vm.prune": prune,
        "vm.exec": run,
        "vm.logs": logs,
    }


def delete_with_connection(engine: Engine, call: Call, *, vm_ids: list[VmId]) -> None:
    """Delete VMs when the connection of this call ends, however it ends."""

    async def delete() -> None:
        failures: list[BangerError] = []
        # In turn: they share the operation, which has one journal.
        for vm_id in vm_ids:
            try:
                await verbs.delete_vm(engine, call.operation, vm_id)
            except VmNotFound:
                # The client usually deletes them itself, and is told of what goes wrong.
                continue
            except BangerError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    call.on_disconnect(delete)
