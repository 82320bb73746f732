"""`template.*`, `gc`."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.requests import Gc, NoParams, TemplateBuild, TemplateRef
from banger.api.results import Deleted, Leftover, TemplateView
from banger.daemon.calls import Call, Handlers
from banger.engine import Engine


def artifact_handlers(engine: Engine) -> Handlers:
    """Return the handlers of templates and leftovers."""

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
        "template.list": list_templates,
        "template.build": build_template,
        "template.delete": delete_template,
        "template.prune": prune_templates,
        "gc": collect,
    }
