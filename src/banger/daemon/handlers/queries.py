"""`vm.list`, `vm.show`, `vm.wait`, `vm.stats`: queries, which never change anything (B8)."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.requests import VmList, VmRef, VmStats
from banger.api.results import VmsUse, VmView
from banger.daemon.calls import Call, Handlers
from banger.engine import Engine


def query_handlers(engine: Engine) -> Handlers:
    """Return the handlers of queries on VMs."""

    async def list_(_: Call, params: VmList) -> list[VmView]:
        return await verbs.list_vms(engine, params)

    async def show(_: Call, params: VmRef) -> VmView:
        return await verbs.show_vm(engine, params.ref)

    async def wait(_: Call, params: VmRef) -> VmView:
        return await verbs.wait_vm(engine, params.ref)

    async def stats(_: Call, params: VmStats) -> VmsUse:
        return await verbs.read_stats(engine, params)

    return {"vm.list": list_, "vm.show": show, "vm.wait": wait, "vm.stats": stats}
