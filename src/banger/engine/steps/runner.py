"""Run a plan: journal, act, journal; on failure undo in reverse.

For a kill at any line: before `started` is written nothing has happened; after
it the step may have acted, and recovery undoes or repeats it, which is
harmless, since steps are idempotent; after `done` it has acted for certain.
Undoing goes on after an error and reports all of them (hazard B3).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from sqlite3 import Connection
from typing import TypeVar

import msgspec

from banger import store
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.table import ACTORS
from banger.errors import BangerError, GuestGone, HostFailed, NoSpace
from banger.host.files import name_os_error
from banger.layout import Layout
from banger.plan.lifecycle import Plan
from banger.plan.steps import EndVmm, Step
from banger.vmm.conversation import find_end

log = logging.getLogger(__name__)

T = TypeVar("T")


def apply(machine: Machine, op: Operation, step: Step) -> Awaitable[None]:
    """Tell the step's stage; return what makes true what the step says when it is awaited."""
    actor = ACTORS[type(step)]
    if actor.stage is not None:
        op.progress(actor.stage)
    return actor.apply(machine, step)


async def undo(machine: Machine, step: Step) -> None:
    """Make what the step says untrue. Steps that only end things have nothing to undo."""
    actor = ACTORS[type(step)]
    if actor.undo is not None:
        with _file_errors(machine.engine.layout):
            await actor.undo(machine, step)


@contextlib.contextmanager
def _file_errors(layout: Layout) -> Iterator[None]:
    """Turn what the host says into errors of ours: a full disk, a refused path, a limit."""
    try:
        yield
    except OSError as error:
        raise name_os_error(error, where=layout.state) from error


async def run_undoable(
    machine: Machine, op: Operation, plan: Plan, *, save: Callable[[Connection], object]
) -> None:
    """Apply the steps in order, then `save` the outcome; if one fails, or the caller is
    cancelled, undo them all.

    Steps of an inner tuple are applied side by side: all are journalled as started before any
    of them acts, so that recovery sees no difference.

    The operation's journal must be open. `save` closes it in the transaction that saves what is
    the case now: a VM that runs while its journal says that it is being started would be undone
    by the next daemon. After an error it is open, and the caller saves that in its turn.
    """
    begun: list[tuple[int, Step]] = []
    try:
        for group in plan:
            steps = group if isinstance(group, tuple) else (group,)
            numbered = list(enumerate(steps, len(begun)))
            await _record(machine, op, numbered, "started")
            begun += numbered
            tasks = [asyncio.ensure_future(apply(machine, op, step)) for step in steps]
            with _file_errors(machine.engine.layout):
                async with _end_named(machine), _settled_if_failed(tasks):
                    await asyncio.gather(*tasks)
            await _record(machine, op, numbered, "done")
        await machine.engine.database.write(save)
    except BaseException:
        # Shielded: a second cancellation must not leave half of the undoing undone.
        await finish_shielded(_undo_all(machine, op, begun))
        raise


@contextlib.asynccontextmanager
async def _end_named(machine: Machine) -> AsyncIterator[None]:
    """Raise how the VMM has ended if a block loses the guest because of that."""
    try:
        yield
    except GuestGone as lost:
        ended = None if machine.vmm is None else await find_end(machine.vmm)
        if ended is None:
            raise
        raise ended from lost


async def run_forward(
    machine: Machine, op: Operation, steps: Sequence[Step], *, journalled: bool = True
) -> None:
    """Apply every step, even if one fails; then raise the first error.

    But for a VMM that does not end: what comes after would take away what it needs.

    For plans that end things: nothing is gained by stopping half-way. They go on also where
    the journal has no room, since ending and removing makes some (A10), or fails: a step that
    cannot be recorded is repeated by recovery, and one that fails only because its own row cannot
    be written has acted. Not `journalled`: there was no room for the operation itself, or whoever
    asks needs none, because what it does is done again after its death.
    """
    errors: list[BangerError] = []

    async def record(number: int, step: Step, status: store.StepStatus) -> None:
        if journalled:
            with contextlib.suppress(*store.UNWRITABLE):
                await _record(machine, op, [(number, step)], status)

    for number, step in enumerate(steps):
        await record(number, step, "started")
        try:
            with _refused_once(op, step), _file_errors(machine.engine.layout):
                await apply(machine, op, step)
                await record(number, step, "done")
                continue
            # What lacks space for its row has acted.
            with contextlib.suppress(NoSpace), _file_errors(machine.engine.layout):
                await apply(machine, op, step)
            await record(number, step, "done")
        except BangerError as error:
            log.error("%s: step %s failed: %s", op.id, type(step).__name__, error)
            errors.append(error)
            if isinstance(step, EndVmm):
                break
    if errors:
        raise errors[0]


@contextlib.contextmanager
def _refused_once(op: Operation, step: Step) -> Iterator[None]:
    """Let pass that the host refuses a block, which applies a step, something: it is tried again.

    A limit that was reached for a moment must not leave a VM half ended.
    """
    try:
        yield
    except (HostFailed, *store.UNWRITABLE) as error:
        log.warning("%s: step %s again: %s", op.id, type(step).__name__, error.message)


@contextlib.asynccontextmanager
async def _settled_if_failed(tasks: Sequence[asyncio.Future[None]]) -> AsyncIterator[None]:
    """When a block, which waits for steps side by side, fails: end the steps, and wait for that."""
    try:
        yield
    except BaseException:
        for task in tasks:
            task.cancel()
        # A second cancellation must not leave a step that acts while it is being undone. (After a
        # success nothing is waited for: a first cancellation would be lost in it.)
        await finish_shielded(_settled(tasks))
        raise


async def _settled(tasks: Sequence[asyncio.Future[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def _undo_all(machine: Machine, op: Operation, begun: list[tuple[int, Step]]) -> None:
    for number, step in reversed(begun):
        try:
            await undo(machine, step)
            await _record(machine, op, [(number, step)], "undone")
        except Exception:
            # The undo loop is one of three places that catch everything: the rest of
            # the steps must be undone, and `gc` shows what this one left.
            log.exception("%s: undoing %s failed", op.id, type(step).__name__)


async def _record(
    machine: Machine, op: Operation, steps: Sequence[tuple[int, Step]], status: store.StepStatus
) -> None:
    def record(connection: Connection) -> None:
        for number, step in steps:
            payload = msgspec.json.encode(step)
            store.record_step(connection, op.id, number, payload, status)

    await machine.engine.database.write(record)
