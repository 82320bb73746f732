"""`kernel.*`."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.requests import KernelFetch, KernelImport, KernelPull, KernelRef, NoParams
from banger.api.results import AvailableKernel, Deleted, KernelView
from banger.daemon.calls import Call, Handlers
from banger.engine import Engine
from banger.model.artifacts import Kernel


def kernel_handlers(engine: Engine) -> Handlers:
    """Return the handlers of kernels."""

    async def list_(_: Call, __: NoParams) -> list[KernelView]:
        return await verbs.list_kernels(engine)

    async def available(_: Call, __: NoParams) -> list[AvailableKernel]:
        return await verbs.list_available_kernels(engine)

    async def show(_: Call, params: KernelRef) -> KernelView:
        return await verbs.show_kernel(engine, params)

    async def pull(call: Call, params: KernelPull) -> Kernel:
        return await verbs.pull_kernel(engine, call.operation, params)

    async def fetch(call: Call, params: KernelFetch) -> Kernel:
        return await verbs.fetch_kernel(engine, call.operation, params)

    async def import_(call: Call, params: KernelImport) -> Kernel:
        return await verbs.import_kernel(engine, call.operation, params)

    async def delete(_: Call, params: KernelRef) -> Deleted:
        return await verbs.delete_kernel(engine, params)

    async def prune(_: Call, __: NoParams) -> Deleted:
        return await verbs.prune_kernels(engine)

    return {
        "kernel.list": list_,
        "kernel.available": available,
        "kernel.show": show,
        "kernel.pull": pull,
        "kernel.fetch": fetch,
        "kernel.import": import_,
        "kernel.delete": delete,
        "kernel.prune": prune,
    }
