"""Find the template for a shape, or build it when a VM is to be started from one.

One build for each key at a time, whose result all askers get (lock L4, hazard C3). A template
that a VM runs on, or is being started from, is not removed (C4): the first is in the VM's
record, the second in `Engine.pins`, which needs no more than this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from banger import store, templates
from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.state.shared import Progress
from banger.engine.transitions.build import build_template
from banger.engine.transitions.layers import build_layer
from banger.engine.transitions.pool import drain_template, load_waiting
from banger.errors import (
    BangerError,
    Cancelled,
    SetupFailed,
    TemplateUnusable,
)
from banger.model.setup import Setup
from banger.model.vm import LIVE, VmSpec, is_hidden, template_of
from banger.templates import Template
from banger.vmm.driver import Capability
from banger.vmm.table import find_driver_kind
from banger.words import NO_NETWORK

TRIES = 2
"""Template failures tolerated per shape; after that its VMs cold-boot until the daemon restarts.
Where templates do not work, each start would otherwise cost a second boot; one may be damage."""

log = logging.getLogger(__name__)


async def choose_template(
    engine: Engine, op: Operation, spec: VmSpec, setup: Setup | None = None
) -> str | None:
    """Return the key of a template for VMs of this shape and setup, made now if there is none.

    None: they are to boot. Then a notice has said why, unless it was configured so.

    Raises:
        SetupFailed: a setup command failed, as it would after a boot.
    """
    if not engine.settings.template.enabled:
        return None
    if Capability.SNAPSHOTS not in find_driver_kind(spec.driver).capabilities:
        return None
    key = await template_key(engine, spec)
    if engine.template_failures[key] >= TRIES:
        op.note("notice", "Templates of this shape have failed before; booting instead.")
        return None
    try:
        return (await _ensure_set_up(engine, op, spec, setup)).key
    except (Cancelled, SetupFailed):
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

    async def build(tell: Progress) -> Template:
        return await build_template(engine, key, spec, tell)

    return await _ensure(engine, op, key, build)


async def _ensure_set_up(
    engine: Engine, op: Operation, spec: VmSpec, setup: Setup | None
) -> Template:
    """Return the template of this shape after setup, both made now if there are none.

    Optional setup that has failed is not tried again before the daemon restarts.
    """
    if setup is None or (setup.optional and spec.shape.network == NO_NETWORK):
        return await ensure_template(engine, op, spec)
    base = await template_key(engine, spec)
    key = templates.make_layer_key(base, spec, setup)
    if setup.optional and engine.template_failures[key]:
        return await ensure_template(engine, op, spec)

    async def build(tell: Progress) -> Template:
        # A layer that is there needs its base no more.
        await ensure_template(engine, op, spec)
        return await build_layer(engine, key, spec, base=base, setup=setup, tell=tell)

    try:
        return await _ensure(engine, op, key, build)
    except SetupFailed as error:
        if not setup.optional:
            raise
        engine.template_failures[key] += 1
        log.info("optional setup: %s", error.message)
        op.note("notice", "The tools that the repository pins could not be installed beforehand.")
        return await ensure_template(engine, op, spec)


async def _ensure(
    engine: Engine, op: Operation, key: str, build: Callable[[Progress], Awaitable[Template]]
) -> Template:
    found = await _find_intact(engine, op, key)
    if found is not None:
        return found

    async def make(tell: Progress) -> Template:
        # Asked again: it may have been published while we waited for the key (A8).
        there = await _find_intact(engine, op, key)
        built = there or await build(tell)
        await asyncio.to_thread(_make_room, engine, await _keys_in_use(engine) | {key})
        return built

    return await engine.shared.run(f"template:{key}", make, op.progress)


async def template_key(engine: Engine, spec: VmSpec) -> str:
    """Return the key of the template for VMs of this shape on this host."""
    driver = await engine.host.driver(spec.driver)
    facts = templates.TemplateFacts(
        vmm=await driver.fingerprint(),
        cpu_model=engine.host.cpu.model,
        cpu_flags=engine.host.cpu.flags,
        tsc_khz=engine.host.cpu.tsc_khz,
    )
    return templates.make_key(spec, facts)


async def _find_intact(engine: Engine, op: Operation, key: str) -> Template | None:
    """Return the template; one that is damaged is removed, with a notice, and counts as none."""
    try:
        found = await asyncio.to_thread(templates.find_template, engine.layout, key)
    except TemplateUnusable as error:
        op.note("notice", f"{error.message} It was removed.")
        await drain_template(engine, key)
        await asyncio.to_thread(templates.remove_template, engine.layout, key)
        return None
    if found is not None:
        # Removed at this moment: a restore tells. No room: it is not counted.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(templates.mark_used, engine.layout, key)
    return found


def _make_room(engine: Engine, keep: frozenset[str]) -> None:
    limit = engine.settings.template.cache_gib * 2**30
    removed = templates.make_room(engine.layout, limit_bytes=limit, keep=keep)
    for key in removed:
        log.info("removed the template %s: the cache is full", key)


async def _keys_in_use(engine: Engine) -> frozenset[str]:
    """Return the keys of the templates that VMs need, or clones that wait for their user."""
    waiting = {template_of(record.origin) for record in await load_waiting(engine)}
    return frozenset(await _users(engine)) | frozenset(filter(None, waiting))


async def _users(engine: Engine) -> dict[str, list[str]]:
    """Return the VMs and operations that need each template that is needed."""
    users = await _vms_on_templates(engine)
    for origin, operations in engine.pins.items():
        if key := template_of(origin):
            users.setdefault(key, []).extend(operations)
    return users


async def _vms_on_templates(engine: Engine) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for record in await engine.database.read(store.load_vms):
        key = template_of(record.origin)
        if key is not None and record.state in LIVE and not is_hidden(record):
            users.setdefault(key, []).append(record.spec.name)
    return users
