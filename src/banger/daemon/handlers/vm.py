"""`vm.*`: the lifecycle of a VM."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.requests import (
    VmCreate,
    VmDelete,
    VmPrune,
    VmRef,
    VmRestart,
    VmSet,
    VmStart,
    VmStop,
)
from banger.api.results import Deleted, VmPlan, VmView
from banger.daemon.calls import Call, Handlers
from banger.engine import Engine
from banger.errors import BangerError, VmNotFound
from banger.model.names import VmId


def vm_handlers(engine: Engine) -> Handlers:
    """Return the handlers of a VM's lifecycle."""

    async def create(call: Call, params: VmCreate) -> VmView:
        view = await verbs.create_vm(engine, call.operation, params)
        # Only now: until here a disconnect cancels the creation.
        if params.ephemeral:
            delete_with_connection(engine, call, vm_ids=[view.id])
        return view

    async def plan(call: Call, params: VmCreate) -> VmPlan:
        return await verbs.plan_vm(engine, call.operation, params)

    async def start(call: Call, params: VmStart) -> VmView:
        return await verbs.start_vm(engine, call.operation, params)

    async def stop(call: Call, params: VmStop) -> VmView:
        return await verbs.stop_vm(engine, call.operation, params)

    async def restart(call: Call, params: VmRestart) -> VmView:
        return await verbs.restart_vm(engine, call.operation, params)

    async def set_(call: Call, params: VmSet) -> VmView:
        return await verbs.set_vm(engine, call.operation, params)

    async def kill(call: Call, params: VmRef) -> VmView:
        return await verbs.kill_vm(engine, call.operation, params.ref)

    async def delete(call: Call, params: VmDelete) -> Deleted:
        return await verbs.delete_vm(engine, call.operation, params.ref)

    async def prune(call: Call, params: VmPrune) -> Deleted:
        return await verbs.prune_vms(engine, call.operation, params)

    return {
        "vm.create": create,
        "vm.plan": plan,
        "vm.start": start,
        "vm.stop": stop,
        "vm.restart": restart,
        "vm.set": set_,
        "vm.kill": kill,
        "vm.delete": delete,
        "vm.prune": prune,
    }


def delete_with_connection(engine: Engine, call: Call, *, vm_ids: list[VmId]) -> None:
    """Delete ephemeral VMs when the connection of this call ends, for whatever reason."""

    async def delete() -> None:
        failures: list[BangerError] = []
        # One after the other, since the deletions share an operation and its journal.
        for vm_id in vm_ids:
            try:
                await verbs.delete_ephemeral_vm(engine, call.operation, vm_id)
            except VmNotFound:
                # The client usually has deleted its VMs already and reported any failure.
                continue
            except BangerError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    call.on_disconnect(delete)
