"""Templates: found or built when a VM is to be started from one, listed, removed.

One build for each key at a time, whose result all askers get (lock L4, hazard C3). A template
that a VM runs on, or is being started from, is not removed (C4): the first is in the VM's
record, the second in `Engine.pins`, which needs no more than this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter

import msgspec

from banger import store, templates
from banger.api.requests import TemplateBuild, TemplateRef, VmCreate
from banger.api.results import Deleted, TemplateView
from banger.engine.artifacts.building import build_template
from banger.engine.engine import Engine
from banger.engine.lifecycle.resolving import needing_parts, require_valid, resolve_spec
from banger.engine.operations import Operation
from banger.engine.pool.clones import drain_pool, drain_template, is_ready, load_waiting
from banger.engine.shared import Progress
from banger.errors import (
    BangerError,
    Cancelled,
    InvalidRequest,
    TemplateInUse,
    TemplateNotFound,
    TemplateUnusable,
)
from banger.model.vm import LIVE, VmSpec, is_hidden, template_of, template_origin
from banger.templates import Template, Uses
from banger.vmm import Capability

TRIES = 2
"""So often a shape may fail before its VMs boot for the rest of the daemon's life: on a host where
templates do not work each start would else cost a boot more. Two, since one may be damage."""

log = logging.getLogger(__name__)


async def choose_template(engine: Engine, op: Operation, spec: VmSpec) -> str | None:
    """Return the key of a template for VMs of this shape, made now if there is none.

    None: they are to boot. Then a notice has said why, unless it was configured so.
    """
    if engine.settings.text("template.enabled") == "off":
        return None
    driver = await engine.host.driver()
    if Capability.SNAPSHOTS not in driver.capabilities:
        return None
    key = await template_key(engine, spec)
    if engine.template_failures[key] >= TRIES:
        op.note("notice", "Templates of this shape have failed before; booting instead.")
        return None
    try:
        return (await ensure_template(engine, op, spec)).key
    except Cancelled:
        raise
    except BangerError as error:
        engine.template_failures[key] += 1
        op.note("notice", f"No template could be made, booting instead: {error.message}")
        return None


async def ensure_template(engine: Engine, op: Operation, spec: VmSpec) -> Template:
    """Return the template for VMs of this shape, made now if there is none.

    Raises:
        BootFailed, NoSpace, VmmFailed: it cannot be made.
    """
    key = await template_key(engine, spec)
    found = await _find_intact(engine, op, key)
    if found is not None:
        return found

    async def make(tell: Progress) -> Template:
        # Asked again: it may have been published while we waited for the key (A8).
        there = await _find_intact(engine, op, key)
        built = there or await build_template(engine, key, spec, tell)
        await asyncio.to_thread(_make_room, engine, await _keys_in_use(engine) | {key})
        return built

    return await engine.shared.run(f"template:{key}", make, op.progress)


async def build_template_now(engine: Engine, op: Operation, params: TemplateBuild) -> TemplateView:
    """Make the template for VMs of this shape, unless it is here."""
    given = msgspec.structs.asdict(params)
    request = VmCreate(**given)
    require_valid(request, engine.settings)
    async with needing_parts(engine, op, request):
        spec = await resolve_spec(engine, op, request)
        template = await ensure_template(engine, op, spec)
    engine.template_failures.pop(template.key, None)  # it is worth a try again
    for view in await list_templates(engine):
        if view.key == template.key:
            return view
    raise TemplateNotFound("The template was removed at once: the cache is too small.")


async def template_key(engine: Engine, spec: VmSpec) -> str:
    """Return the key of the template for VMs of this shape on this host."""
    driver = await engine.host.driver()
    facts = templates.TemplateFacts(
        vmm=await driver.fingerprint(),
        cpu_model=engine.host.cpu.model,
        cpu_flags=engine.host.cpu.flags,
        tsc_khz=engine.host.cpu.tsc_khz,
    )
    return templates.make_key(spec, facts)


async def list_templates(engine: Engine) -> list[TemplateView]:
    """Return every usable template, the last used first. Changes nothing (B8)."""
    users = await _users(engine)
    waiting = Counter(template_of(r.spec.origin) for r in await load_waiting(engine) if is_ready(r))
    found = await asyncio.to_thread(templates.list_templates, engine.layout)
    return [
        _view(engine, template, uses=uses, users=users.get(key, []), waiting=waiting[key])
        for template, key, uses in found
        if template is not None
    ]


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
            f"{params.ref} may be any of: {', '.join(key[:12] for key in matches)}."
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


async def prune_templates(engine: Engine) -> Deleted:
    """Delete every template that no VM runs on, damaged ones, too."""
    keep = frozenset(await _users(engine))
    await drain_pool(engine, lambda spec: template_of(spec.origin) not in keep)

    def prune() -> list[str]:
        return templates.make_room(engine.layout, limit_bytes=-1, keep=keep)

    return Deleted(ids=await asyncio.to_thread(prune))


async def _find_intact(engine: Engine, op: Operation, key: str) -> Template | None:
    """Return the template; one that is damaged is removed, with a notice, and counts as none."""
    try:
        found = await asyncio.to_thread(templates.find_template, engine.layout, key)
    except TemplateUnusable as error:
        op.note("notice", f"{error.message} It is removed.")
        await drain_template(engine, key)
        await asyncio.to_thread(templates.remove_template, engine.layout, key)
        return None
    if found is not None:
        # Removed at this moment: a restore tells. No room: it is not counted.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(templates.mark_used, engine.layout, key)
    return found


def _make_room(engine: Engine, keep: frozenset[str]) -> None:
    limit = engine.settings.number("template.cache_gib") * 2**30
    removed = templates.make_room(engine.layout, limit_bytes=limit, keep=keep)
    for key in removed:
        log.info("removed the template %s: the cache is full", key)


async def _keys_in_use(engine: Engine) -> frozenset[str]:
    """Return the keys of the templates that VMs need, or clones that wait for their user."""
    waiting = {template_of(record.spec.origin) for record in await load_waiting(engine)}
    return frozenset(await _users(engine)) | frozenset(filter(None, waiting))


async def _users(engine: Engine) -> dict[str, list[str]]:
    """Return the VMs and operations that need each template that is needed."""
    operations = {template_of(origin): list(users) for origin, users in engine.pins.items()}
    users = await _vms_on_templates(engine)
    for key, named in operations.items():
        if key is not None:
            users[key] = users.get(key, []) + named
    return users


async def _vms_on_templates(engine: Engine) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for record in await engine.database.read(store.load_vms):
        key = template_of(record.spec.origin)
        if key is not None and record.state in LIVE and not is_hidden(record.spec):
            users.setdefault(key, []).append(record.spec.name)
    return users


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
    )
