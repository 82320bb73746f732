"""Start a new VM from a saved machine: everything that it is made of, and its guest, in one go.

One journal, `vm.create`, covers it until the guest has confirmed that it is a machine of
its own: if the process dies before that, recovery undoes all of it and the VM never was.
"""

from __future__ import annotations

import asyncio
from sqlite3 import Connection

import msgspec

from banger import guest, store, templates
from banger.engine.state.engine import Engine
from banger.engine.state.machine import load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import write_outcome
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_undoable
from banger.engine.transitions.became import became
from banger.engine.transitions.delete import forget
from banger.engine.transitions.pool import drain_template
from banger.errors import (
    BangerError,
    DatabaseFailed,
    DeadlineExceeded,
    HostFailed,
    NoSpace,
    TemplateUnusable,
)
from banger.model.vm import VmRecord, VmState, template_of
from banger.plan.lifecycle import Plan, plan_clone, plan_prepare

CLONE_DEADLINE_S = 60.0
"""A clone that takes longer than this on a busy host would sooner be booted."""

NOT_THE_TEMPLATE = (DatabaseFailed, HostFailed, NoSpace, *guest.EXEC_REFUSALS.values())
"""What says nothing of the template that was to be cloned: it stays."""


async def clone_held(engine: Engine, op: Operation, record: VmRecord) -> VmRecord:
    """Start a VM, whose lifecycle lock is held and whose journal is open, from its template.

    If it does not work a notice says so, a damaged template is gone, another one is suspected until
    a boot has been tried (`judge_template`), and the record, whose journal is still open, is
    returned in state `created` and has no origin (D3).
    """
    try:
        return await _clone(engine, op, record, _plan(record), VmState.RUNNING)
    except BangerError as error:
        return await _give_up(engine, op, record, error)
    except BaseException:
        await finish_shielded(forget(engine, op, record.id))
        raise


async def clone_exactly(engine: Engine, op: Operation, record: VmRecord) -> VmRecord:
    """Start a VM from a snapshot. Unlike `clone_held`, never falls back to booting.

    Raises:
        BangerError: it could not be started; nothing of it is left.
    """
    return await _clone_or_forget(engine, op, record, _plan(record), VmState.RUNNING)


async def prepare_clone(engine: Engine, op: Operation, record: VmRecord) -> VmRecord:
    """Start a VM as above that nobody has asked for yet: it is ready, and stands still (`pool`).

    Raises:
        BangerError: it could not be started; nothing of it is left.
    """
    assert record.origin is not None
    plan = plan_prepare(record.id, record.spec, origin=record.origin)
    return await _clone_or_forget(engine, op, record, plan, VmState.PAUSED)


def _plan(record: VmRecord) -> Plan:
    assert record.origin is not None
    return plan_clone(record.id, record.spec, origin=record.origin)


async def _clone_or_forget(
    engine: Engine, op: Operation, record: VmRecord, plan: Plan, state: VmState
) -> VmRecord:
    try:
        return await _clone(engine, op, record, plan, state)
    except BaseException:
        await finish_shielded(forget(engine, op, record.id))
        raise


async def _clone(
    engine: Engine, op: Operation, record: VmRecord, plan: Plan, state: VmState
) -> VmRecord:
    def save(connection: Connection) -> None:
        write_outcome(connection, op.id, record.id, state)

    try:
        async with asyncio.timeout(CLONE_DEADLINE_S):
            machine = await load_machine(engine, record.id)
            await run_undoable(machine, op, plan, save=save)
    except TimeoutError as error:
        slow = f"The clone was not ready within {CLONE_DEADLINE_S:g} s."
        raise DeadlineExceeded(slow) from error
    became(machine, state)
    return machine.record


async def judge_template(engine: Engine, origin: str | None, *, booted: bool) -> None:
    """Remove the template of an origin that failed where a boot did not: the fault is its own.

    Where the boot failed, too, the host is at fault, such as by a limit on memory: it stays.
    """
    key = template_of(origin)
    if key is None or key not in engine.suspects:
        return
    engine.suspects.discard(key)
    if booted:
        await _remove(engine, key)


async def _remove(engine: Engine, key: str) -> None:
    engine.template_failures[key] += 1
    await drain_template(engine, key)
    await asyncio.to_thread(templates.remove_template, engine.layout, key)


async def _give_up(engine: Engine, op: Operation, record: VmRecord, error: BangerError) -> VmRecord:
    key = template_of(record.origin)
    assert key is not None
    op.note("notice", f"The template could not be used, booting instead: {error.message}")
    if isinstance(error, TemplateUnusable):
        await _remove(engine, key)
    elif not isinstance(error, NOT_THE_TEMPLATE):
        engine.suspects.add(key)

    def save(connection: Connection) -> None:
        store.update_state(connection, record.id, VmState.CREATED)
        store.update_spec(connection, booting)

    booting = msgspec.structs.replace(record, origin=None, state=VmState.CREATED)
    await engine.database.write(save)
    return booting
