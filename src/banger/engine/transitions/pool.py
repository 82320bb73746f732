"""The pool: clones of a template that are made in advance.

A pooled clone is a VM whose guest has its own id, keys, addresses and a generated name, and that is
paused: it takes no processor time, and about 90 MiB of memory. Its role is `Pooled`, so it is in no
list, reached by no name, and not among the users of its template or image: the removal of those
drains the pool first. `refilling` decides the number of clones; this module claims and ends them.

A claim holds the clone's lifecycle lock (L2), which decides between two requests, or a drain:

    one transaction: the row gets the requested name, labels and age, an address, its ports, and
                     the state `starting`; journal vm.claim
    the network gets the requested egress policy, if it has another
    the guest is resumed; it gets the current time, new random numbers (D1, D2) and a new name, if
                     another was requested; its agent has to confirm within a deadline (D3)
    one transaction: `running`; journal closed

If the process dies before the last transaction, recovery deletes the VM, as after an unfinished
`vm.create`; after it the VM exists. If a claim fails, the VM is deleted, and the request makes a
clone. A drain is a `vm.delete` like any other.

A daemon that stops ends its pooled clones. After one that died the next daemon deletes them, since
their rows are ephemeral. So no pooled clone is older than the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from sqlite3 import Connection

import msgspec

from banger import store
from banger.engine.state.became import appeared
from banger.engine.state.engine import Engine
from banger.engine.state.machine import Machine, load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_outcome
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.guest import hand_out_guest
from banger.engine.steps.network import find_bound, set_bandwidth, set_egress
from banger.engine.transitions.delete import delete_now
from banger.engine.transitions.publishing import save_forwards
from banger.errors import BangerError, NameTaken
from banger.forwards import Forward
from banger.model.names import VmId, format_word_pair
from banger.model.vm import Pooled, VmRecord, VmSpec, VmState, template_origin

log = logging.getLogger(__name__)

CLAIM_DEADLINE_S = 3.0
"""Limit per agent reply during a claim; past it a new clone is faster."""

IsChosen = Callable[[str | None, VmSpec], bool]
"""Tells by its origin and its spec whether a clone is meant."""


async def claim_prepared(
    engine: Engine, op: Operation, spec: VmSpec, origin: str, *, forwards: Sequence[Forward] = ()
) -> Machine | None:
    """Return a waiting clone of a template as the VM of this spec, handed out; None: there is none.

    Raises:
        NameTaken: another VM has the name that the spec asks for.
        PortTaken: another VM has published one of the ports.
    """
    claimed = await _claim_one(engine, op, spec, origin, forwards)
    if claimed is None and await _wait_for_fill(engine, op, origin):
        claimed = await _claim_one(engine, op, spec, origin, forwards)
    return claimed


async def _claim_one(
    engine: Engine, op: Operation, spec: VmSpec, origin: str, forwards: Sequence[Forward]
) -> Machine | None:
    for waiting in await load_waiting(engine):
        runtime = engine.runtimes.get(waiting.id)
        fits = (
            is_ready(waiting)
            and waiting.origin == origin
            and waiting.spec.egress.is_by_name == spec.egress.is_by_name
        )
        if not fits or runtime is None or runtime.lifecycle.holder is not None:
            continue
        async with runtime.lifecycle.hold(op):
            claimed = await _claim(engine, op, waiting.id, spec, forwards)
            if claimed is None:
                continue
            # One that cannot be used is not followed by another: its asker has waited enough.
            return await _hand_out(engine, op, claimed, waiting)
    return None


async def _wait_for_fill(engine: Engine, op: Operation, origin: str) -> bool:
    """Wait for a clone that is being prepared, unless another request does already.

    It is ready before one that would be started now.
    """
    fill = engine.demand.fills.get(origin)
    if fill is None or fill.awaited:
        return False
    fill.awaited = True
    op.progress("claim")
    await asyncio.wait({fill.task})
    return True


async def _claim(
    engine: Engine, op: Operation, vm_id: VmId, spec: VmSpec, forwards: Sequence[Forward]
) -> VmRecord | None:
    """Make a waiting clone the VM of this spec and open the journal, unless it waits no more."""
    op.progress("claim")
    another = format_word_pair(int.from_bytes(engine.random_bytes(4)))
    now = engine.now()

    def claim(connection: Connection) -> VmRecord | None:
        waiting = store.find_vm(connection, vm_id)
        if waiting is None or not is_ready(waiting):
            return None
        store.begin_operation(connection, op.id, "vm.claim", vm_id, now=now)
        names = (spec.name,) if spec.name else (_hostname(waiting), another)
        for name in names:
            named = msgspec.structs.replace(spec, name=name)
            record = VmRecord(
                id=vm_id,
                spec=named,
                state=VmState.STARTING,
                created_at=now,
                origin=waiting.origin,
            )
            try:
                store.replace_vm(connection, record)
            except NameTaken:
                if name == names[-1]:
                    raise
            else:
                store.allocate_address(connection, vm_id)
                save_forwards(connection, vm_id, forwards)
                return record
        return None

    try:
        claimed = await engine.database.write(claim)
    except asyncio.CancelledError:
        # It may have been written nevertheless, for nobody (C5).
        await finish_shielded(_give_up(engine, op, vm_id))
        raise
    if claimed is not None:
        engine.operations.concerns(vm_id)
        appeared(engine, claimed)
    return claimed


async def _hand_out(
    engine: Engine, op: Operation, record: VmRecord, waiting: VmRecord
) -> Machine | None:
    """Resume a claimed guest with its new identity; None if that fails and the VM is deleted."""
    try:
        machine = await load_machine(engine, record.id)
        if record.spec.egress != waiting.spec.egress:
            await set_egress(machine, await find_bound(machine))
            await set_bandwidth(machine)
        await machine.control.resume(machine.require_vmm(), deadline_s=CLAIM_DEADLINE_S)
        await hand_out_guest(machine, called=_hostname(waiting), deadline_s=CLAIM_DEADLINE_S)
        await save_outcome(machine, op.id, VmState.RUNNING)
    except BangerError as error:
        log.warning("the prepared VM %s cannot be used: %s", record.id, error.message)
        await finish_shielded(_give_up(engine, op, record.id))
        return None
    except BaseException:
        await finish_shielded(_give_up(engine, op, record.id))
        raise
    return machine


async def _give_up(engine: Engine, op: Operation, vm_id: VmId) -> None:
    """Delete a VM whose claim failed. Its VMM is killed, since it may hang."""
    with contextlib.suppress(BangerError):
        machine = await load_machine(engine, vm_id)
        await machine.control.kill(machine.require_vmm())
    await delete_now(engine, engine.new_operation("vm.delete"), vm_id)
    await engine.database.write(store.end_operation, op.id)


def _hostname(waiting: VmRecord) -> str:
    assert isinstance(waiting.role, Pooled)
    return waiting.role.hostname


def is_ready(record: VmRecord) -> bool:
    """Tell whether a VM waits to be claimed; its VMM may have died a moment ago."""
    return isinstance(record.role, Pooled) and record.state is VmState.PAUSED


async def load_waiting(engine: Engine) -> list[VmRecord]:
    """Return the rows of the pool, the longest waiting first; some are being made or ended."""
    records = await engine.database.read(store.load_vms)
    return [record for record in records if isinstance(record.role, Pooled)]


async def drain_template(engine: Engine, key: str) -> None:
    """End the waiting clones of a template that is about to go."""
    origin = template_origin(key)
    await drain_pool(engine, lambda other, _: other == origin)


async def drain_pool(engine: Engine, is_chosen: IsChosen) -> None:
    """End the waiting clones of the chosen shapes, and want no more until they are asked for."""
    demand = engine.demand
    for origin in [origin for origin, spec in demand.shapes.items() if is_chosen(origin, spec)]:
        demand.forget(origin)
        if fill := demand.fills.get(origin):
            fill.task.cancel()
            await asyncio.wait({fill.task})
    await end_waiting(
        engine, [r for r in await load_waiting(engine) if is_chosen(r.origin, r.spec)]
    )


async def end_waiting(engine: Engine, waiting: list[VmRecord]) -> None:
    """End pooled clones, except those that are being claimed, made or ended."""
    for record in waiting:
        try:
            await finish_shielded(_end_one(engine, record.id))
        except BangerError as error:
            log.warning("the prepared VM %s was not ended: %s", record.id, error.message)


async def _end_one(engine: Engine, vm_id: VmId) -> None:
    lifecycle = engine.runtime(vm_id).lifecycle
    if lifecycle.holder is not None:
        return
    op = engine.new_operation("vm.delete")
    async with lifecycle.hold(op):
        now = await engine.database.read(store.find_vm, vm_id)
        if now is not None and isinstance(now.role, Pooled):
            await delete_now(engine, op, vm_id)
