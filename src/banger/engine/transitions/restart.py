"""The second part of a restart: the rest of the stop, with its flush, then a boot.

One journal, `vm.restart`, covers both halves, and the record's state tells which: `stopping`, then
`starting`. If the process dies in the first half recovery completes the stop, with its flush (A1);
in the second it undoes the start. In either case it then boots the VM while the daemon serves, so
that the restart is completed.
"""

from __future__ import annotations

import asyncio

from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_defer
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_forward
from banger.engine.transitions.boot import default_boot_deadline_s, start_held
from banger.engine.transitions.stop import STOP_DEADLINE_S
from banger.errors import BangerError
from banger.model.vm import VmState
from banger.plan.lifecycle import plan_stop

JOURNAL = "vm.restart"


async def finish_restart(
    machine: Machine,
    op: Operation,
    *,
    deadline_s: float = STOP_DEADLINE_S,
    kernel: str | None = None,
) -> None:
    """Do what is left of a restart whose lifecycle lock is held: the record's state tells.

    `kernel` is the digest of the kernel to boot; None: the one that the record names.
    """
    try:
        if machine.record.state is VmState.STOPPING:
            await finish_shielded(_stop(machine, op, deadline_s=deadline_s))
            _give_way()
        limit = default_boot_deadline_s(machine.record)
        await start_held(machine, op, deadline_s=limit, kernel=kernel, journal=JOURNAL)
    finally:
        await finish_shielded(_save_stopped(machine, op))


async def _stop(machine: Machine, op: Operation, *, deadline_s: float) -> None:
    try:
        await run_forward(machine, op, plan_stop(machine.id, deadline_s=deadline_s))
    except BangerError as error:
        await save_or_defer(machine, op.id, VmState.ERROR, error=error.message)
        raise


def _give_way() -> None:
    """Raise a cancellation that came during the shielded first half."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _save_stopped(machine: Machine, op: Operation) -> None:
    """Save that a restart ended between its halves."""
    if machine.record.state is VmState.STOPPING:
        await save_or_defer(machine, op.id, VmState.STOPPED)
