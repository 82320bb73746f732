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
from collections.abc import Coroutine, Sequence
from sqlite3 import Connection
from typing import TypeVar

import msgspec

from banger import store
from banger.engine.actions import apply, undo
from banger.engine.engine import Engine
from banger.engine.operations import Operation
from banger.errors import BangerError, NoSpace
from banger.plan.lifecycle import Plan
from banger.plan.steps import Step

log = logging.getLogger(__name__)

T = TypeVar("T")


async def run_undoable(engine: Engine, op: Operation, plan: Plan) -> None:
    """Apply the steps in order; if one fails, or the caller is cancelled, undo them all.

    Steps of an inner tuple are applied side by side: all are journalled as started before any
    of them acts, so that recovery sees no difference.

    The operation's journal must be open. It is left open: the caller closes it in the
    transaction that saves the outcome.
    """
    begun: list[tuple[int, Step]] = []
    try:
        for group in plan:
            steps = group if isinstance(group, tuple) else (group,)
            numbered = list(enumerate(steps, len(begun)))
            await _record(engine, op, numbered, "started")
            begun += numbered
            await _apply_together(engine, op, steps)
            await _record(engine, op, numbered, "done")
    except BaseException:
        # Shielded: a second cancellation must not leave half of the undoing undone.
        await finish_shielded(_undo_all(engine, op, begun))
        raise


async def run_forward(
    engine: Engine, op: Operation, steps: Sequence[Step], *, journalled: bool = True
) -> None:
    """Apply every step, even if one fails; then raise the first error.

    For plans that end things: nothing is gained by stopping half-way. They go on also where
    the journal has no room, since ending and removing makes some (A10): a step that cannot be
    recorded is repeated by recovery, and one that fails only because its own row cannot be
    written has acted. Not `journalled`: there was no room for the operation itself, or whoever
    asks needs none, because what it does is done again after its death.
    """
    errors: list[BangerError] = []

    async def record(number: int, step: Step, status: store.StepStatus) -> None:
        if journalled:
            with contextlib.suppress(NoSpace):
                await _record(engine, op, [(number, step)], status)

    for number, step in enumerate(steps):
        await record(number, step, "started")
        try:
            await apply(engine, op, step)
        except NoSpace as error:
            log.warning("%s: step %s: %s", op.id, type(step).__name__, error.message)
        except BangerError as error:
            log.error("%s: step %s failed: %s", op.id, type(step).__name__, error)
            errors.append(error)
        else:
            await record(number, step, "done")
    if errors:
        raise errors[0]


async def finish_shielded(work: Coroutine[object, object, T]) -> T:
    """Await `work` to its end, however often the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    return task.result()


async def _apply_together(engine: Engine, op: Operation, steps: tuple[Step, ...]) -> None:
    """Apply steps side by side; when one fails the others are ended, and have ended."""
    tasks = [asyncio.ensure_future(apply(engine, op, step)) for step in steps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        # A second cancellation must not leave a step that acts while it is being undone.
        await finish_shielded(_settled(tasks))


async def _settled(tasks: Sequence[asyncio.Future[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def _undo_all(engine: Engine, op: Operation, begun: list[tuple[int, Step]]) -> None:
    for number, step in reversed(begun):
        try:
            await undo(engine, step)
            await _record(engine, op, [(number, step)], "undone")
        except Exception:
            # The undo loop is one of three places that catch everything: the rest of
            # the steps must be undone, and `gc` shows what this one left.
            log.exception("%s: undoing %s failed", op.id, type(step).__name__)


async def _record(
    engine: Engine, op: Operation, steps: Sequence[tuple[int, Step]], status: store.StepStatus
) -> None:
    def record(connection: Connection) -> None:
        for number, step in steps:
            payload = msgspec.json.encode(step)
            store.record_step(connection, op.id, number, payload, status)

    await engine.database.write(record)
