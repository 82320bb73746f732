"""The operations in progress: since when, on which VM; and their cancellation.

An operation is in the table while it runs: a client's request, put there by its connection, or
work of the engine's own. Cancelling ends the task that does the work; the verb undoes what it
has begun, as when its client leaves. What is only ever completed (a stop, a kill, a delete)
cannot be cancelled.

In memory; owns no tasks and takes no locks. If the process dies nothing is in progress any
more, and recovery deals with the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from banger.engine.state.operations import (
    OPERATION_ID_BYTES,
    Note,
    Operation,
    Progress,
    current_operation,
    format_operation_id,
)
from banger.errors import Cancelled, NotCancellable, OperationNotFound
from banger.model.names import OperationId, VmId


@dataclass
class Running:
    """One operation in progress."""

    operation: Operation
    task: asyncio.Future[object]
    is_cancellable: bool
    stage: str | None = None
    vm_id: VmId | None = None
    """The VM that it is about, once that is known."""


class OperationTable:
    """All operations in progress."""

    def __init__(self) -> None:
        self._running: dict[str, Running] = {}

    @contextlib.contextmanager
    def running(
        self, operation: Operation, task: asyncio.Future[object], *, is_cancellable: bool
    ) -> Iterator[None]:
        """Have an operation in the table for a block; `task` is what does its work."""
        self._running[operation.id] = Running(operation, task, is_cancellable)
        try:
            yield
        finally:
            del self._running[operation.id]

    @contextlib.contextmanager
    def own(
        self,
        method: str,
        vm_id: VmId,
        *,
        number: OperationId | None = None,
        is_cancellable: bool = False,
    ) -> Iterator[Operation]:
        """Have an operation of the engine's own in the table: the current task does its work.

        `number` is its id if it has one: a dead daemon had begun it.
        """
        task = asyncio.current_task()
        assert task is not None
        number = number or format_operation_id(os.urandom(OPERATION_ID_BYTES))

        def report(item: Progress | Note) -> None:
            self.reported(operation, item)

        operation = Operation(number, method, time.time(), report)
        token = current_operation.set(operation.id)
        try:
            with self.running(operation, task, is_cancellable=is_cancellable):
                self.concerns(vm_id)
                yield operation
        finally:
            current_operation.reset(token)

    def reported(self, operation: Operation, item: Progress | Note) -> None:
        """Note the stage that an operation is in."""
        running = self._running.get(operation.id)
        if running is not None and isinstance(item, Progress):
            running.stage = item.stage

    def concerns(self, vm_id: VmId) -> None:
        """Note that the current operation is about this VM, unless it is about another one."""
        running = self._running.get(current_operation.get())
        if running is not None and running.vm_id is None:
            running.vm_id = vm_id

    def list(self) -> list[Running]:
        """Return all but the one that asks, oldest first."""
        asks = current_operation.get()
        return [running for number, running in self._running.items() if number != asks]

    def get(self, untrusted_ref: str) -> Running:
        """Return the operation with this id, or whose id alone begins so.

        Raises:
            OperationNotFound: none in progress has, or several.
        """
        found = [r for r in self.list() if untrusted_ref and r.operation.id == untrusted_ref]
        found = found or [
            r for r in self.list() if untrusted_ref and r.operation.id.startswith(untrusted_ref)
        ]
        if len(found) != 1:
            raise OperationNotFound(
                f"No operation {untrusted_ref} is in progress."
                if not found
                else f"{untrusted_ref} is ambiguous: {len(found)} operations match.",
                hint="banger operations list",
            )
        return found[0]


async def cancel_running(running: Running) -> None:
    """End an operation; returns when what it had begun is undone.

    Raises:
        NotCancellable: it is of a kind that is completed, or had been completed meanwhile.
    """
    operation, task = running.operation, running.task
    if not running.is_cancellable:
        raise NotCancellable(
            f"{operation.method} ({operation.id}) cannot be cancelled: once started, it runs "
            "to completion."
        )
    task.cancel()
    await asyncio.wait({task})
    if task.cancelled() or isinstance(task.exception(), Cancelled):
        return
    how = "failed" if task.exception() else "was completed"
    raise NotCancellable(f"{operation.method} ({operation.id}) {how} before it could be cancelled.")
