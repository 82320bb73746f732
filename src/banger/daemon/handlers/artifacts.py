"""`kernel.*`, `template.*`, `gc`."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.methods import (
    Deleted,
    Gc,
    KernelPull,
    Leftover,
    NoParams,
    TemplateBuild,
    TemplateRef,
    TemplateView,
)
from banger.daemon.calls import Call, Handlers
from banger.engine import Engine
from banger.model.artifacts import Kernel


def artifact_handlers(engine: Engine) -> Handlers:
    """Return the handlers of kernels, templates and leftovers."""

    async def list_kernels(_: Call, __: NoParams) -> list[Kernel]:
        return await verbs.list_kernels(engine)

    async def pull_kernel(call: Call, params: KernelPull) -> Kernel:
        return await verbs.pull_kernel(engine, call.operation, params)

    async def list_templates(_: Call, __: NoParams) -> list[TemplateView]:
        return await verbs.list_templates(engine)

    async def build_template(call: Call, params: TemplateBuild) -> TemplateView:
        return await verbs.build_template_now(engine, call.operation, params)

    async def delete_template(_: Call, params: TemplateRef) -> Deleted:
        return await verbs.delete_template(engine, params)

    async def prune_templates(_: Call, __: NoParams) -> Deleted:
        return await verbs.prune_templates(engine)

    async def collect(_: Call, params: Gc) -> list[Leftover]:
        return await verbs.collect_garbage(engine, params)

    return {
        "kernel.list": list_kernels,
        "kernel.pull": pull_kernel,
        "template.list": list_templates,
        "template.build": build_template,
        "template.delete": delete_template,
        "template.prune": prune_templates,
        "gc": collect,
    }
