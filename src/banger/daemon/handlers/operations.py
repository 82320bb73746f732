"""`operations.*`."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.requests import NoParams, OperationRef
from banger.api.results import OperationView
from banger.daemon.calls import Call, Handlers
from banger.engine import Engine


def operation_handlers(engine: Engine) -> Handlers:
    """Return the handlers of `operations.*`."""

    async def list_(_: Call, __: NoParams) -> list[OperationView]:
        return await verbs.list_operations(engine)

    async def cancel(_: Call, params: OperationRef) -> OperationView:
        return await verbs.cancel_operation(engine, params.id)

    return {"operations.list": list_, "operations.cancel": cancel}
