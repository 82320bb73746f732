"""List operations in progress, and cancel them."""

from __future__ import annotations

from collections.abc import Mapping

from banger import store
from banger.api.method import serves
from banger.api.requests import OperationRef
from banger.api.results import OperationView
from banger.engine.state.engine import Engine
from banger.engine.state.running import Running, cancel_running
from banger.model.names import VmId


@serves("operations.list")
async def list_operations(engine: Engine) -> list[OperationView]:
    """Return what is in progress, oldest first."""
    running = engine.operations.list()
    names = await _load_names(engine)
    return [_view_operation(one, names) for one in running]


@serves("operations.cancel")
async def cancel_operation(engine: Engine, params: OperationRef) -> OperationView:
    """End an operation and wait for its undoing; return what it was.

    Raises:
        OperationNotFound: it is not in progress.
        NotCancellable: it is, and is completed.
    """
    running = engine.operations.get(params.id)
    names = await _load_names(engine)
    await cancel_running(running)
    return _view_operation(running, names)


async def _load_names(engine: Engine) -> dict[VmId, str]:
    records = await engine.database.read(store.load_vms)
    return {record.id: record.spec.name for record in records}


def _view_operation(running: Running, names: Mapping[VmId, str]) -> OperationView:
    operation = running.operation
    return OperationView(
        id=operation.id,
        method=operation.method,
        vm=running.vm_id and names.get(running.vm_id),
        vm_id=running.vm_id,
        stage=running.stage,
        started_at=operation.started_at,
        cancellable=running.is_cancellable,
    )
