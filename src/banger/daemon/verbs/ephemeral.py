"""`vm.create`, `vm.fork`: VMs that may live as long as the connection that made them."""

from __future__ import annotations

from banger.api.method import serves
from banger.api.requests import VmCreate, VmFork
from banger.api.results import VmView
from banger.daemon.calls import Call
from banger.engine.state.engine import Engine
from banger.engine.verbs.create import create_vm
from banger.engine.verbs.fork import fork_vm
from banger.engine.verbs.vms import delete_ephemeral_vm
from banger.errors import BangerError, VmNotFound
from banger.model.names import VmId


@serves("vm.create")
async def create(engine: Engine, call: Call, params: VmCreate) -> VmView:
    """Create a VM."""
    view = await create_vm(engine, call.operation, params)
    # Only now: until here a disconnect cancels the creation.
    if params.ephemeral:
        _delete_with_connection(engine, call, vm_ids=[view.id])
    return view


@serves("vm.fork")
async def fork(engine: Engine, call: Call, params: VmFork) -> list[VmView]:
    """Clone a VM."""
    views = await fork_vm(engine, call.operation, params)
    if params.ephemeral:
        _delete_with_connection(engine, call, vm_ids=[view.id for view in views])
    return views


def _delete_with_connection(engine: Engine, call: Call, *, vm_ids: list[VmId]) -> None:
    """Delete ephemeral VMs when the connection of this call ends, for whatever reason."""

    async def delete() -> None:
        failures: list[BangerError] = []
        # One after the other, since the deletions share an operation and its journal.
        for vm_id in vm_ids:
            try:
                await delete_ephemeral_vm(engine, call.operation, vm_id)
            except VmNotFound:
                # The client usually has deleted its VMs already and reported any failure.
                continue
            except BangerError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    call.on_disconnect(delete)
