"""Watch the VMMs, as an attendant: when one ends, wake all that wait for its guest (H2).

What is left of the VM is then removed, and its state saved, under its lifecycle lock (L2). What
the host refuses of the first is part of the second; where the records cannot be read, both are
tried again until they can. If the process dies before, recovery sees that there is no VMM.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from banger.engine.state.engine import Engine
from banger.engine.state.machine import Machine, load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_defer
from banger.engine.state.restartpolicy import GIVEN_UP, decide_restart, wants_restart
from banger.engine.state.runtime import close_connection
from banger.engine.steps.runner import run_forward
from banger.engine.transitions.sweep import sweep_snapshots
from banger.errors import BangerError, Cancelled, VmNotFound
from banger.model.names import VmId
from banger.model.vm import VmState
from banger.plan.lifecycle import plan_kill
from banger.vmm.driver import VmmHandle
from banger.vmm.process import describe_end
from banger.vmm.table import find_driver_kind

RETRY_S = 1.0
"""Between two tries to save an end."""

log = logging.getLogger(__name__)


async def watch_vmm(engine: Engine, vm_id: VmId, vmm: VmmHandle) -> None:
    """Return when a VMM has ended and its VM's end is saved.

    While a VM starts nobody has to watch: the death of its VMM closes the agent's socket, and
    that ends the start.
    """
    status = await find_driver_kind(vmm.driver).control.wait_gone(vmm)
    log.info("VMM of %s (pid %d) ended with status %s", vm_id, vmm.process.pid, status)
    await close_connection(engine.runtime(vm_id))
    # A verb that ends the VMM saves the outcome itself, and so ends this task; a verb that takes
    # the lock away ends what is left.
    while True:
        try:
            await _note_end(engine, vm_id, status)
        except (BangerError, OSError) as error:
            log.error("the end of %s cannot be noted yet: %s", vm_id, error)
            await asyncio.sleep(RETRY_S)
        else:
            return


async def _note_end(engine: Engine, vm_id: VmId, status: int | None) -> None:
    """Clean up after a VMM, unless a verb has."""
    with (
        contextlib.suppress(Cancelled, VmNotFound),
        engine.operations.own("vm.ended", vm_id) as op,
    ):
        async with engine.runtime(vm_id).lifecycle.hold(op, wait=True):
            machine = await load_machine(engine, vm_id)
            if machine.record.state in (VmState.RUNNING, VmState.PAUSED):
                await _clean_up(machine, op, status)


async def _clean_up(machine: Machine, op: Operation, status: int | None) -> None:
    """Save whether the guest powered itself off or its VMM failed, and remove what is left."""
    engine, record = machine.engine, machine.record
    # The exit status of a VMM that an earlier daemon started is unknown.
    failed = status != 0
    restart_row = await decide_restart(engine, record, failed=failed)
    log_file = engine.layout.vm_vmm_log(machine.id)
    said = [] if status in (0, None) else [f"The VMM {describe_end(status, log_file)}"]
    said += [error.message for error in await _remove_rest(machine, op)]
    state = VmState.ERROR if said else VmState.STOPPED
    if restart_row is None and wants_restart(record.spec, failed=failed):
        said.append(GIVEN_UP)
    await save_or_defer(
        machine, op.id, state, error=" ".join(said) or None, restart_row=restart_row
    )
    await sweep_snapshots(engine)


async def _remove_rest(machine: Machine, op: Operation) -> list[BangerError]:
    """Remove what a VMM that has ended leaves, each thing whatever becomes of the others (B3)."""
    errors = []
    for step in plan_kill(machine.id):
        try:
            await run_forward(machine, op, (step,), journalled=False)
        except BangerError as error:
            errors.append(error)
    return errors
