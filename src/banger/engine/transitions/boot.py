"""Boot a VM from its disk, or start it from a saved machine, under its lifecycle lock (L2).

If the process dies during a start, recovery undoes it and the VM is `stopped`.
"""

from __future__ import annotations

import asyncio
from sqlite3 import Connection

from msgspec import structs

from banger import images
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import require_undamaged
from banger.engine.state.machine import load_machine
from banger.engine.state.operations import Operation
from banger.engine.state.outcome import save_or_remember, write_outcome
from banger.engine.state.restartpolicy import GIVEN_UP, NO_WISH, Wish
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_undoable
from banger.engine.transitions.became import became
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
from banger.plan.lifecycle import (
    Plan,
    plan_restore,
    plan_start,
)

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
    engine: Engine,
    op: Operation,
    record: VmRecord,
    *,
    deadline_s: float,
    journal: str = "vm.start",
    wish: Wish = NO_WISH,
) -> VmRecord:
    """Boot a VM whose lifecycle lock is held, as what it was changed to while it ran.

    What becomes of a wish to start it again is saved with the start's end, in one transaction.

    Raises:
        BootFailed: it did not become ready; it is kept, in state `error`.
    """
    require_undamaged(record)
    # It boots from its own disk: what it was started from before is not needed any more.
    changed = structs.replace(record, spec=next_spec(record), origin=None, pending=None)
    await _begin_start(engine, op, record, journal=journal, changed=changed, wish=wish)
    plan = plan_start(record.id, changed.spec)
    return await _start(engine, op, record, plan=plan, deadline_s=deadline_s, wish=wish)


async def restore_held(
    engine: Engine,
    op: Operation,
    record: VmRecord,
    *,
    shape: Shape,
    origin: str,
    deadline_s: float,
) -> VmRecord:
    """Start a VM that does not run, and whose lifecycle lock is held, from a saved machine.

    Raises:
        BootFailed: it did not become ready; it is kept, in state `error`.
    """
    changed = structs.replace(
        record,
        spec=structs.replace(record.spec, shape=shape),
        origin=origin,
        pending=None if record.pending == shape else record.pending,
    )
    await _begin_start(engine, op, record, journal="vm.start", changed=changed, wish=NO_WISH)
    plan = plan_restore(record.id, changed.spec, origin=origin)
    return await _start(engine, op, record, plan=plan, deadline_s=deadline_s, wish=NO_WISH)


async def _begin_start(
    engine: Engine, op: Operation, record: VmRecord, *, journal: str, changed: VmRecord, wish: Wish
) -> None:
    try:
        await begin_held(
            engine, op, record, journal=journal, state=VmState.STARTING, changed=changed
        )
    except asyncio.CancelledError:
        # It may have been written nevertheless.
        state, error, again = record.state, record.error, wish.after_cancel
        await finish_shielded(
            save_or_remember(engine, op.id, record.id, state, error=error, again=again)
        )
        raise


async def _start(
    engine: Engine,
    op: Operation,
    record: VmRecord,
    *,
    plan: Plan,
    deadline_s: float,
    wish: Wish,
) -> VmRecord:
    def save(connection: Connection) -> None:
        write_outcome(connection, op.id, record.id, VmState.RUNNING)

    try:
        async with asyncio.timeout(deadline_s):
            machine = await load_machine(engine, record.id)
            await run_undoable(machine, op, plan, save=save)
    except TimeoutError as error:
        slow = DeadlineExceeded(f"It was not ready within {deadline_s:g} s.")
        raise await _boot_failed(engine, op, record, slow, wish) from error
    except BangerError as error:
        raise await _boot_failed(engine, op, record, error, wish) from error
    except BaseException:
        stopped, again = VmState.STOPPED, wish.after_cancel
        await finish_shielded(save_or_remember(engine, op.id, record.id, stopped, again=again))
        raise
    became(machine, VmState.RUNNING)
    return machine.record


async def _boot_failed(
    engine: Engine, op: Operation, record: VmRecord, cause: BangerError, wish: Wish
) -> BootFailed:
    """Save why a VM did not become ready, and return the error that says so (hazard H5)."""
    why, again = cause.message, wish.after_failure
    if wish.after_cancel and not again:
        why = f"{why} {GIVEN_UP}"
    await save_or_remember(engine, op.id, record.id, VmState.ERROR, error=why, again=again)
    log = engine.layout.vm_console_log(record.id)
    return BootFailed(
        f"{record.spec.name} did not become ready: {cause.message} Its console log is {log}.",
        hint=f"banger vm logs {record.spec.name}",
        details=cause.details,
    )
