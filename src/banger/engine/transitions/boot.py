"""Boot a VM from its disk, or start it from a saved machine, under its lifecycle lock (L2).

If the process dies during a start, recovery undoes it and the VM is `stopped`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from sqlite3 import Connection

from msgspec import structs

from banger import images
from banger.engine.state.became import became
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import require_undamaged
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_remember, write_outcome
from banger.engine.state.restartpolicy import GIVEN_UP, NO_WISH, Wish
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_undoable
from banger.engine.transitions.journal import begin_held
from banger.engine.transitions.preflight import require_programs
from banger.errors import BangerError, BootFailed, DeadlineExceeded
from banger.model.vm import (
    Accel,
    Shape,
    VmRecord,
    VmState,
    next_spec,
)
from banger.plan.lifecycle import plan_restore, plan_start

BOOT_DEADLINE_S = {Accel.TCG: 300.0, Accel.KVM: 60.0}
"""From the VMM's start until the guest's init has settled."""


def default_boot_deadline_s(record: VmRecord) -> float:
    """Return how long a VM may take to be ready."""
    return BOOT_DEADLINE_S[record.spec.accel]


async def require_bootable(engine: Engine, record: VmRecord) -> None:
    """Check what a VM needs to boot, before anything is done.

    Raises:
        WrongState: its record is damaged.
        ToolMissing: the host lacks programs; they are named.
        ImageChanged: the file of its registered image is not what it was.
    """
    require_undamaged(record)
    image = await asyncio.to_thread(images.get_image, engine.layout, record.spec.image)
    await asyncio.to_thread(images.require_root, engine.layout, image)
    spec = next_spec(record)
    await require_programs(engine, driver=spec.driver, network=spec.shape.network)


async def start_held(
    machine: Machine,
    op: Operation,
    *,
    deadline_s: float,
    journal: str = "vm.start",
    wish: Wish = NO_WISH,
) -> None:
    """Boot a VM whose lifecycle lock is held, as what it was changed to while it ran.

    What becomes of a wish to start it again is saved with the start's end, in one transaction.

    Raises:
        BootFailed: it did not become ready; it is kept, in state `error`.
    """
    record = machine.record
    require_undamaged(record)
    # It boots from its own disk: what it was started from before is not needed any more.
    changed = structs.replace(record, spec=next_spec(record), origin=None, pending=None)
    await _begin_start(machine, op, journal=journal, changed=changed, wish=wish)
    plan = plan_start(machine.id, changed.spec)
    async with _starting(machine, op, deadline_s=deadline_s, wish=wish):
        await run_undoable(machine, op, plan, save=_save_running(machine, op))


async def restore_held(
    machine: Machine, op: Operation, *, shape: Shape, origin: str, deadline_s: float
) -> None:
    """Start a VM that does not run, and whose lifecycle lock is held, from a saved machine.

    Raises:
        BootFailed: it did not become ready; it is kept, in state `error`.
    """
    record = machine.record
    changed = structs.replace(
        record,
        spec=structs.replace(record.spec, shape=shape),
        origin=origin,
        pending=None if record.pending == shape else record.pending,
    )
    await _begin_start(machine, op, journal="vm.start", changed=changed, wish=NO_WISH)
    plan = plan_restore(machine.id, changed.spec, origin=origin)
    async with _starting(machine, op, deadline_s=deadline_s, wish=NO_WISH):
        await run_undoable(machine, op, plan, save=_save_running(machine, op))


async def _begin_start(
    machine: Machine, op: Operation, *, journal: str, changed: VmRecord, wish: Wish
) -> None:
    before = machine.record
    try:
        await begin_held(machine, op, journal=journal, state=VmState.STARTING, changed=changed)
    except asyncio.CancelledError:
        # It may have been written nevertheless.
        await finish_shielded(
            save_or_remember(
                machine, op.id, before.state, error=before.error, again=wish.after_cancel
            )
        )
        raise


def _save_running(machine: Machine, op: Operation) -> Callable[[Connection], None]:
    return functools.partial(
        write_outcome, operation=op.id, vm_id=machine.id, state=VmState.RUNNING
    )


@contextlib.asynccontextmanager
async def _starting(
    machine: Machine, op: Operation, *, deadline_s: float, wish: Wish
) -> AsyncIterator[None]:
    """Have a block that starts a VM end in time; save why it failed, or tell that the VM runs."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as error:
        slow = DeadlineExceeded(f"It was not ready within {deadline_s:g} s.")
        raise await _boot_failed(machine, op, slow, wish) from error
    except BangerError as error:
        raise await _boot_failed(machine, op, error, wish) from error
    except BaseException:
        stopped, again = VmState.STOPPED, wish.after_cancel
        await finish_shielded(save_or_remember(machine, op.id, stopped, again=again))
        raise
    became(machine, VmState.RUNNING)


async def _boot_failed(
    machine: Machine, op: Operation, cause: BangerError, wish: Wish
) -> BootFailed:
    """Save why a VM did not become ready, and return the error that says so (hazard H5)."""
    why, again = cause.message, wish.after_failure
    if wish.after_cancel and not again:
        why = f"{why} {GIVEN_UP}"
    await save_or_remember(machine, op.id, VmState.ERROR, error=why, again=again)
    name, log = machine.record.spec.name, machine.engine.layout.vm_console_log(machine.id)
    return BootFailed(
        f"{name} did not become ready: {cause.message} Its console log is {log}.",
        hint=f"banger vm logs {name}",
        details=cause.details,
    )
