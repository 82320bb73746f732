"""Stop or kill a VM under its lifecycle lock (L2).

A stop or a kill that has begun is completed: callers shield it (`finish_shielded`). If the process
dies in the middle, recovery completes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from banger import store
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_defer
from banger.engine.steps.runner import run_forward
from banger.engine.transitions.journal import begin_held, save_failed_end
from banger.engine.transitions.pause import resume_held
from banger.errors import BangerError
from banger.model.vm import VmState
from banger.plan.lifecycle import plan_kill, plan_stop

STOP_DEADLINE_S = 60.0
"""For the flush of the guest's data and its orderly shutdown; the VMM is ended after that."""
UNFLUSHED = "The guest did not confirm that its data was flushed; its last writes may be missing."
UNSAVED = "The file system of the database is full; the VM has ended, but that is not saved yet."


async def stop_held(
    machine: Machine,
    op: Operation,
    *,
    deadline_s: float = STOP_DEADLINE_S,
    why: str | None = None,
) -> bool:
    """Stop a VM whose lifecycle lock is held; False if it does not run.

    `why` is the notice to the user, if the user did not ask for it.
    """
    # A paused guest cannot flush.
    await resume_held(machine, op)
    if machine.record.state is not VmState.RUNNING:
        return False
    journalled = await _begin_ending(machine, op, journal="vm.stop")
    async with _ending(machine, op, why=why):
        steps = plan_stop(machine.id, deadline_s=deadline_s)
        await run_forward(machine, op, steps, journalled=journalled)
    return True


async def finish_stop(machine: Machine, op: Operation) -> None:
    """Do a stop whose journal is open and whose lifecycle lock is held."""
    async with _ending(machine, op):
        await run_forward(machine, op, plan_stop(machine.id, deadline_s=STOP_DEADLINE_S))


async def kill_held(machine: Machine, op: Operation) -> None:
    """End the VMM of a VM whose lifecycle lock is held."""
    journalled = await _begin_ending(machine, op, journal="vm.kill")
    async with _ending(machine, op):
        await run_forward(machine, op, plan_kill(machine.id), journalled=journalled)


async def _begin_ending(machine: Machine, op: Operation, *, journal: str) -> bool:
    """As `begin_held`; return whether it was written: what ends a VM goes on without (A10).

    If the process dies without a journal, the record says `running` of a VMM that is gone:
    recovery knows that.
    """
    try:
        await begin_held(machine, op, journal=journal, state=VmState.STOPPING)
    except store.UNWRITABLE:
        return False
    return True


@contextlib.asynccontextmanager
async def _ending(
    machine: Machine, op: Operation, *, why: str | None = None
) -> AsyncIterator[None]:
    """Save what became of a VM in a block that ends it."""
    try:
        yield
    except BangerError as error:
        await save_failed_end(machine, op, error)
        raise
    await save_or_defer(machine, op.id, VmState.STOPPED, error=why)
