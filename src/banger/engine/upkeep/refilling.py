"""Keep the pool: prepare clones of templates in use, and end those that are no longer wanted.

A template is in use when VMs were made from it within `IDLE_S`, and was so before: the first use
after it was made says nothing yet of a second. Up to `template.pool` clones wait for each, and
`TOTAL` in all. One at a time is made, when no verb is at work and `REST_S` after the last VM was
handed out, so that the command in that one has the host for itself first.

Memory: a clone is made only if the host would have a quarter of its memory available were the
guest to use all of its own, and the pool is emptied when less than an eighth is.

If the process dies while a clone is made, recovery undoes it: its journal is `vm.create`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from banger import templates
from banger.config import probe_host_size
from banger.engine.state.demand import Fill
from banger.engine.state.engine import Engine
from banger.engine.transitions.clone import clone_vm, forgotten_if_failed
from banger.engine.transitions.make import claim_vm
from banger.engine.transitions.pool import drain_pool, end_waiting, load_waiting
from banger.errors import BangerError
from banger.model.names import format_word_pair
from banger.model.vm import Pooled, VmSpec, VmState, hide, template_of

log = logging.getLogger(__name__)

TOTAL = 4
IDLE_S = 600.0
REST_S = 0.5
TICK_S = 5.0
"""How often it is looked for clones that died or are wanted no more."""
FILL_SHARE, DRAIN_SHARE = 1 / 4, 1 / 8
"""Of the host's memory."""
WAITS = (VmState.PAUSED, VmState.STARTING)


async def keep_pool(engine: Engine) -> None:
    """Look after the pool, for ever."""
    if engine.settings.template.pool == 0:
        return
    rest_s: float | None = None
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await engine.demand.changed.wait()
        engine.demand.changed.clear()
        try:
            rest_s = await _look_after(engine)
        except BangerError as error:
            log.warning("the pool was not looked after: %s", error.message)
            rest_s = TICK_S


async def _look_after(engine: Engine) -> float | None:
    """End and make what is to be ended and made; return when to look again, in seconds."""
    await _tidy(engine)
    chosen = await choose_origin(engine)
    if chosen is not None:
        rest_s = _rest_left_s(engine)
        if rest_s > 0:
            return rest_s
        await _fill(engine, chosen)
        return 0.0
    return TICK_S if engine.demand.shapes else None


async def _tidy(engine: Engine) -> None:
    """End what has died, was not asked for long enough, or takes memory that is short."""
    now = asyncio.get_running_loop().time()
    idle = {o for o, at in engine.demand.asked_at.items() if now - at > IDLE_S}
    await drain_pool(engine, lambda origin, _: origin in idle)
    must_shrink = is_short(engine.available_mib(), probe_host_size().memory_mib)
    waiting = await load_waiting(engine)
    await end_waiting(engine, [r for r in waiting if must_shrink or r.state not in WAITS])


async def choose_origin(engine: Engine) -> str | None:
    """Return the template of the next clone, the last asked for first; None: no clone."""
    waiting = await load_waiting(engine)
    if len(waiting) >= TOTAL:
        return None
    limit = engine.settings.template.pool
    for origin, spec in reversed(engine.demand.shapes.items()):
        number = sum(record.origin == origin for record in waiting)
        if number < limit and _was_used(engine, origin) and _has_room_for(engine, spec):
            return origin
    return None


def _was_used(engine: Engine, origin: str) -> bool:
    key = template_of(origin)
    return key is not None and templates.read_uses(engine.layout, key).number > 0


def _has_room_for(engine: Engine, spec: VmSpec) -> bool:
    left_mib = engine.available_mib() - spec.shape.memory_mib
    return has_room(left_mib, probe_host_size().memory_mib)


def has_room(left_mib: int, total_mib: int) -> bool:
    """Tell whether a host that would have so much available may make another clone."""
    return left_mib >= total_mib * FILL_SHARE


def is_short(available_mib: int, total_mib: int) -> bool:
    """Tell whether the clones that wait are to go."""
    return available_mib < total_mib * DRAIN_SHARE


def _rest_left_s(engine: Engine) -> float:
    if any(runtime.lifecycle.holder is not None for runtime in engine.runtimes.values()):
        return REST_S
    now = asyncio.get_running_loop().time()
    return max(engine.demand.asked_at.values(), default=0.0) + REST_S - now


async def _fill(engine: Engine, origin: str) -> None:
    """Make one clone that waits, as a task that a drain can end and an asker can wait for."""
    fill = Fill(engine.tasks.start(_prepare(engine, origin, engine.demand.shapes[origin])))
    engine.demand.fills[origin] = fill
    try:
        await asyncio.wait({fill.task})
    finally:
        del engine.demand.fills[origin]


async def _prepare(engine: Engine, origin: str, spec: VmSpec) -> None:
    op = engine.new_operation("vm.create")
    number = int.from_bytes(engine.random_bytes(4))
    name = f"pool/{op.id}"  # not one that a user can give
    own = hide(spec, name=name)
    role = Pooled(format_word_pair(number))
    try:
        machine = await claim_vm(engine, op, own, origin=origin, role=role)
        async with machine.runtime.lifecycle.hold(op), forgotten_if_failed(machine, op):
            await clone_vm(machine, op, state=VmState.PAUSED)
    except BangerError as error:
        # The next request makes a clone, and reports what fails.
        log.warning("no clone could be prepared: %s", error.message)
        engine.demand.forget(origin)
