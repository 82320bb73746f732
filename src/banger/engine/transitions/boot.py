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
from banger.engine.state.outcome import save_or_defer, write_outcome
from banger.engine.state.restartpolicy import GIVEN_UP, NO_RESTART, RestartOutcome
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
    kernel: str | None = None,
    journal: str = "vm.start",
    restart: RestartOutcome = NO_RESTART,
) -> None:
    """Boot a VM whose lifecycle lock is held, as what it was changed to while it ran.

    `kernel` is the digest of its kernel from now on; None: the one that its record names. The row
    of `restart` is saved with the outcome of the start, in one transaction.

    Raises:
        BootFailed: it did not become ready; it is kept, in state `error`.
    """
    record = machine.record
    require_undamaged(record)
    # It boots from its own disk: what it was started from before is not needed any more.
    spec = structs.replace(next_spec(record), kernel=kernel or record.spec.kernel)
    changed = structs.replace(record, spec=spec, origin=None, pending=None)
    await _begin_start(machine, op, journal=journal, changed=changed, restart=restart)
    prepared = record.workspace
    read_only = prepared.guest_path if prepared and prepared.is_read_only else None
    plan = plan_start(machine.id, changed.spec, read_only=read_only)
    async with _starting(machine, op, deadline_s=deadline_s, restart=restart):
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
    await _begin_start(machine, op, journal="vm.start", changed=changed, restart=NO_RESTART)
    plan = plan_restore(machine.id, changed.spec, origin=origin)
    async with _starting(machine, op, deadline_s=deadline_s, restart=NO_RESTART):
        await run_undoable(machine, op, plan, save=_save_running(machine, op))


async def _begin_start(
    machine: Machine, op: Operation, *, journal: str, changed: VmRecord, restart: RestartOutcome
) -> None:
    before = machine.record
    try:
        await begin_held(machine, op, journal=journal, state=VmState.STARTING, changed=changed)
    except asyncio.CancelledError:
        # It may have been written nevertheless.
        await finish_shielded(
            save_or_defer(
                machine, op.id, before.state, error=before.error, restart_row=restart.after_cancel
            )
        )
        raise


def _save_running(machine: Machine, op: Operation) -> Callable[[Connection], None]:
    return functools.partial(
        write_outcome, operation=op.id, vm_id=machine.id, state=VmState.RUNNING
    )


@contextlib.asynccontextmanager
async def _starting(
    machine: Machine, op: Operation, *, deadline_s: float, restart: RestartOutcome
) -> AsyncIterator[None]:
    """Have a block that starts a VM end in time; save why it failed, or tell that the VM runs."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as error:
        slow = DeadlineExceeded(f"It was not ready within {deadline_s:g} s.")
        raise await _boot_failed(machine, op, slow, restart) from error
    except BangerError as error:
        raise await _boot_failed(machine, op, error, restart) from error
    except BaseException:
        stopped, restart_row = VmState.STOPPED, restart.after_cancel
        await finish_shielded(save_or_defer(machine, op.id, stopped, restart_row=restart_row))
        raise
    became(machine, VmState.RUNNING)


async def _boot_failed(
    machine: Machine, op: Operation, cause: BangerError, restart: RestartOutcome
) -> BootFailed:
    """Save why a VM did not become ready, and return the error that says so (hazard H5)."""
    why, restart_row = cause.message, restart.after_failure
    if restart.after_cancel and not restart_row:
        why = f"{why} {GIVEN_UP}"
    await save_or_defer(machine, op.id, VmState.ERROR, error=why, restart_row=restart_row)
    name, log = machine.record.spec.name, machine.engine.layout.vm_console_log(machine.id)
    return BootFailed(
        f"{name} did not become ready: {cause.message} Its console log is {log}.",
        hint=f"banger vm logs {name}",
        details=cause.details,
    )
