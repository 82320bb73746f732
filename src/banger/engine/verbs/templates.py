"""Build, list and delete templates on request."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec

from banger import templates
from banger.api.method import serves
from banger.api.requests import TemplateBuild, TemplateRef, VmCreate
from banger.api.results import Deleted, TemplateView
from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.transitions.pool import drain_pool, drain_template, is_ready, load_waiting
from banger.engine.transitions.templates import _users, _vms_on_templates, ensure_template
from banger.engine.verbs.resolve import needing_parts, require_valid, resolve_spec
from banger.errors import (
    InvalidRequest,
    TemplateInUse,
    TemplateNotFound,
)
from banger.model.vm import template_of, template_origin
from banger.templates import Template, Uses
from banger.vmm.driver import Capability
from banger.vmm.table import require_capability


@serves("template.build")
async def build_template_now(engine: Engine, op: Operation, params: TemplateBuild) -> TemplateView:
    """Make the template for VMs of this shape, unless it is here."""
    given = msgspec.structs.asdict(params)
    request = VmCreate(**given)
    require_valid(request, engine.settings)
    async with needing_parts(engine, op, request):
        spec = await resolve_spec(engine, op, request)
        require_capability(spec.driver, Capability.SNAPSHOTS)
        template = await ensure_template(engine, op, spec)
    engine.template_failures.pop(template.key, None)  # it is worth a try again
    for view in await list_templates(engine):
        if view.key == template.key:
            return view
    raise TemplateNotFound(
        "The template was removed at once: it is larger than the template cache."
    )


@serves("template.list")
async def list_templates(engine: Engine) -> list[TemplateView]:
    """Return every usable template, the last used first. Changes nothing (B8)."""
    users = await _users(engine)
    waiting = Counter(template_of(r.origin) for r in await load_waiting(engine) if is_ready(r))
    found = await asyncio.to_thread(templates.list_templates, engine.layout)
    return [
        _view(engine, template, uses=uses, users=users.get(key, []), waiting=waiting[key])
        for template, key, uses in found
        if template is not None
    ]


@serves("template.delete")
async def delete_template(engine: Engine, params: TemplateRef) -> Deleted:
    """Delete a template that no VM runs on, and that no operation is about to clone.

    Raises:
        TemplateNotFound: there is none of this key.
        TemplateInUse: it is used; the users are named.
    """
    known = [key for _, key, _ in await asyncio.to_thread(templates.list_templates, engine.layout)]
    matches = [key for key in known if params.ref and key.startswith(params.ref)]
    if not matches:
        raise TemplateNotFound(f"There is no template {params.ref}.", hint="banger template list")
    if len(matches) > 1:
        raise InvalidRequest(
            f"{params.ref} is ambiguous: {', '.join(key[:12] for key in matches)}."
        )
    (key,) = matches
    busy = engine.pins.get(template_origin(key), [])
    vms = (await _vms_on_templates(engine)).get(key, [])
    if users := [*vms, *busy]:
        raise TemplateInUse(
            f"The template {key[:12]} is used by: {', '.join(users)}.",
            hint="banger vm list" if vms else "banger operations list",
        )
    await drain_template(engine, key)
    await asyncio.to_thread(templates.remove_template, engine.layout, key)
    return Deleted(ids=[key])


@serves("template.prune")
async def prune_templates(engine: Engine) -> Deleted:
    """Delete every template that no VM runs on, damaged ones, too."""
    keep = frozenset(await _users(engine))
    await drain_pool(engine, lambda origin, _: template_of(origin) not in keep)

    def prune() -> list[str]:
        return templates.make_room(engine.layout, limit_bytes=-1, keep=keep)

    return Deleted(ids=await asyncio.to_thread(prune))


def _view(
    engine: Engine, template: Template, *, uses: Uses, users: list[str], waiting: int
) -> TemplateView:
    return TemplateView(
        key=template.key,
        image=template.image_name,
        image_digest=template.image,
        kernel_digest=template.kernel,
        vcpu=template.vcpu,
        memory_mib=template.memory_mib,
        disk_mib=template.disk_mib,
        size_bytes=templates.disk_bytes(engine.layout.template_dir(template.key)),
        created_at=template.created_at,
        used_at=uses.last,
        uses=uses.number,
        users=users,
        waiting=waiting,
        setup=list(template.setup),
    )
