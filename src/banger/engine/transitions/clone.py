"""Start a new VM from a saved machine: its parts, its processes and its guest, in one plan.

One journal, `vm.create`, covers it until the guest has confirmed that it is a machine of
its own: if the process dies before that, recovery undoes all of it and the VM never was.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from sqlite3 import Connection

import msgspec

from banger import guest, store, templates
from banger.engine.state.became import became
from banger.engine.state.engine import Engine
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import write_outcome
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_undoable
from banger.engine.transitions.delete import forget
from banger.engine.transitions.pool import drain_template
from banger.errors import (
    BangerError,
    BootFailed,
    DatabaseFailed,
    DeadlineExceeded,
    HostFailed,
    NoSpace,
    TemplateUnusable,
)
from banger.model.vm import VmState, template_of
from banger.plan.lifecycle import plan_clone, plan_prepare

CLONE_DEADLINE_S = 60.0
"""If a clone takes longer than this on a busy host, a boot is faster."""

NOT_THE_TEMPLATE = (DatabaseFailed, HostFailed, NoSpace)
"""Errors that are not the fault of the template, which is kept."""
ENTRY_POINT_REFUSED = tuple(guest.EXEC_REFUSALS.values())
"""A boot would not help against these."""


async def clone_vm(machine: Machine, op: Operation, *, state: VmState = VmState.RUNNING) -> None:
    """Start a VM, whose lifecycle lock is held and whose journal is open, from its origin.

    In state `paused` it is ready and has rehearsed (`pool`).

    Raises:
        BangerError: it could not be started; its row is left for the caller to remove.
    """
    record = machine.record
    assert record.origin is not None
    plan = plan_clone if state is VmState.RUNNING else plan_prepare
    steps = plan(machine.id, record.spec, origin=record.origin)
    save = functools.partial(write_outcome, operation=op.id, vm_id=machine.id, state=state)
    try:
        async with asyncio.timeout(CLONE_DEADLINE_S):
            await run_undoable(machine, op, steps, save=save)
    except TimeoutError as error:
        slow = f"The clone was not ready within {CLONE_DEADLINE_S:g} s."
        raise DeadlineExceeded(slow) from error
    became(machine, state)


@contextlib.asynccontextmanager
async def forgotten_if_failed(machine: Machine, op: Operation) -> AsyncIterator[None]:
    """Remove the row of a VM that a block could not start: nothing is left of it."""
    try:
        yield
    except BaseException:
        await finish_shielded(forget(machine.engine, op, machine.id))
        raise


@contextlib.asynccontextmanager
async def booted_if_failed(machine: Machine, op: Operation) -> AsyncIterator[None]:
    """If a block cannot clone a VM's template, prepare the VM for a boot.

    A notice says so. A damaged template is removed; another template is suspected until a boot has
    been tried (`judged_template`). The journal stays open; the record is in state `created` and has
    no origin (D3).

    Raises:
        BootFailed: the entry point cannot be run; nothing is left of the VM.
    """
    async with forgotten_if_failed(machine, op):
        try:
            yield
        except ENTRY_POINT_REFUSED as error:
            raise BootFailed(
                f"{machine.record.spec.name} was not created, since its entry point cannot be run: "
                f"{error.message}",
                hint=f"banger image show {machine.record.spec.image_name}",
            ) from error
        except BangerError as error:
            await _give_up(machine, op, error)


@contextlib.asynccontextmanager
async def judged_template(engine: Engine, origin: str | None) -> AsyncIterator[None]:
    """Remove the template of an origin that failed where a block, which boots, does not.

    The template is at fault then. If the boot fails as well, the host is, for example because of a
    limit on memory: the template is kept.
    """
    key = template_of(origin)
    try:
        yield
    except BaseException:
        engine.suspects -= {key}
        raise
    if key is not None and key in engine.suspects:
        engine.suspects.discard(key)
        await _remove(engine, key)


async def _remove(engine: Engine, key: str) -> None:
    engine.template_failures[key] += 1
    await drain_template(engine, key)
    await asyncio.to_thread(templates.remove_template, engine.layout, key)


async def _give_up(machine: Machine, op: Operation, error: BangerError) -> None:
    engine, key = machine.engine, template_of(machine.record.origin)
    assert key is not None
    op.note("notice", f"The template could not be used, booting instead: {error.message}")
    if isinstance(error, TemplateUnusable):
        await _remove(engine, key)
    elif not isinstance(error, NOT_THE_TEMPLATE):
        engine.suspects.add(key)
    booting = msgspec.structs.replace(machine.record, origin=None)

    def save(connection: Connection) -> None:
        store.update_state(connection, machine.id, VmState.CREATED)
        store.update_spec(connection, booting)

    await engine.database.write(save)
    machine.record = booting
    became(machine, VmState.CREATED)
