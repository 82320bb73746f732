"""Watch the VMMs: when one ends, everyone who waits on its guest is woken at once (H2).

What is left of the VM is then removed, and its state saved, under its lifecycle lock (L2). What
the host refuses of the first is part of the second; where the records cannot be read, both are
tried again until they can. If the process dies before, recovery sees that there is no VMM.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.machine import Machine, load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import correct_record, save_or_remember
from banger.engine.state.restartpolicy import GIVEN_UP, decide_restart, wants_restart
from banger.engine.state.runtime import close_connection
from banger.engine.steps.runner import run_forward
from banger.engine.transitions.sweep import sweep_snapshots
from banger.errors import BangerError, Cancelled
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from banger.plan.lifecycle import plan_kill

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""What a VMM ends with, itself or by its sandbox's monitor."""
LAST_WORDS_BYTES = 400
AGAIN_S = 1.0
"""Between two tries to note an end."""

log = logging.getLogger(__name__)


def start_watching(machine: Machine) -> None:
    """Watch the VMM of a running VM from now on; the task belongs to the engine.

    While a VM starts this is not needed: its death closes the agent's socket, and
    that ends the start.
    """
    engine, runtime = machine.engine, machine.runtime
    runtime.used_at, runtime.cpu_seen, runtime.warned_by, runtime.answers = (
        None,
        (0.0, 0.0),
        None,
        None,
    )
    engine.started.set()
    runtime.watcher = engine.tasks.start(_watch(machine))


async def _watch(machine: Machine) -> None:
    engine, vm_id, handle = machine.engine, machine.id, machine.require_vmm()
    driver = await machine.driver()
    status = await driver.wait_gone(handle)
    log.info("VMM of %s (pid %d) ended with status %s", vm_id, handle.process.pid, status)
    await close_connection(machine.runtime)
    # A verb that ends the VMM itself cancels this task and saves the outcome; one that takes the
    # lock away ends what is left.
    while True:
        try:
            await _note_end(engine, vm_id, status)
        except (BangerError, OSError) as error:
            log.error("the end of %s cannot be noted yet: %s", vm_id, error)
            await asyncio.sleep(AGAIN_S)
        else:
            return


async def _note_end(engine: Engine, vm_id: VmId, status: int | None) -> None:
    """Clean up after a VMM, unless a verb has."""
    runtime = engine.runtime(vm_id)
    with contextlib.suppress(Cancelled), engine.operations.own("vm.ended", vm_id) as op:
        async with runtime.lifecycle.hold(op, wait=True):
            saved = await engine.database.read(store.find_vm, vm_id)
            record = saved and correct_record(engine, saved)
            if record is not None and record.state in (VmState.RUNNING, VmState.PAUSED):
                await _clean_up(engine, op, record, status)


async def _clean_up(engine: Engine, op: Operation, record: VmRecord, status: int | None) -> None:
    """Save that a guest powered itself off, or that its VMM failed, and remove what is left."""
    # Of a VMM that an earlier daemon started nobody can tell how it ended.
    failed = status != 0
    again = await decide_restart(engine, record, failed=failed)
    said = [] if status in (0, None) else [_say_status(engine, record.id, status)]
    said += [error.message for error in await _remove_rest(engine, op, record.id)]
    state = VmState.ERROR if said else VmState.STOPPED
    if again is None and wants_restart(record.spec, failed=failed):
        said.append(GIVEN_UP)
    await save_or_remember(
        engine, op.id, record.id, state, error=" ".join(said) or None, again=again
    )
    engine.ended.set()
    await sweep_snapshots(engine)


async def _remove_rest(engine: Engine, op: Operation, vm_id: VmId) -> list[BangerError]:
    """Remove what a VMM that has ended leaves, each thing whatever becomes of the others (B3)."""
    errors = []
    machine = await load_machine(engine, vm_id)
    for step in plan_kill(vm_id):
        try:
            await run_forward(machine, op, (step,), journalled=False)
        except BangerError as error:
            errors.append(error)
    return errors


def _say_status(engine: Engine, vm_id: VmId, status: int | None) -> str:
    return f"Its VMM {_say_how(status)}{_last_words(engine, vm_id)}"


def _say_how(status: int | None) -> str:
    if status in KILLED:
        return "was killed, by somebody or by the kernel for the memory that it took"
    return f"ended with status {status}"


def _last_words(engine: Engine, vm_id: VmId) -> str:
    """Return the last line of a VMM's log as the end of a sentence."""
    with contextlib.suppress(OSError):
        tail = engine.layout.vm_vmm_log(vm_id).read_bytes()[-LAST_WORDS_BYTES:]
        lines = tail.decode("utf-8", "replace").strip().splitlines()
        return f": {lines[-1]}" if lines else "."
    return "."
