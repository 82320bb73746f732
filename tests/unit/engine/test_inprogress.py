"""The table of operations: found by id, cancelled with their undoing, or refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator

import pytest

from banger.engine.state.operations import Operation, Progress, current_operation
from banger.engine.state.running import OperationTable, Running, cancel_running
from banger.errors import NotCancellable, OperationFailed, OperationNotFound
from banger.model.names import OperationId, VmId

VM = VmId("0123456789ab")


def run(work: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


@contextlib.contextmanager
def in_progress(
    table: OperationTable,
    work: Coroutine[object, object, object],
    *,
    number: str = "op-1234",
    is_cancellable: bool = True,
) -> Iterator[Running]:
    operation = Operation(OperationId(number), "vm.create", 0.0)
    task = asyncio.ensure_future(work)
    with table.running(operation, task, is_cancellable=is_cancellable):
        yield table.get(number)


async def undo_slowly(undone: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        undone.append("undone")


def test_cancelling_waits_for_the_undoing() -> None:
    """C5."""

    async def work() -> None:
        undone: list[str] = []
        with in_progress(OperationTable(), undo_slowly(undone)) as running:
            await asyncio.sleep(0)
            await cancel_running(running)
            assert undone == ["undone"]

    run(work())


def test_what_is_always_completed_goes_on() -> None:
    async def work() -> None:
        undone: list[str] = []
        table = OperationTable()
        with in_progress(table, undo_slowly(undone), is_cancellable=False) as running:
            await asyncio.sleep(0)
            with pytest.raises(NotCancellable, match=r"vm\.create \(op-1234\) cannot"):
                await cancel_running(running)
            assert not running.task.done()
            running.task.cancel()

    run(work())


@pytest.mark.parametrize("fails", [False, True])
def test_what_ends_by_itself_meanwhile_was_not_cancelled(fails: bool) -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if fails:
            raise OperationFailed("No.")

    async def work() -> None:
        with in_progress(OperationTable(), stubborn()) as running:
            await asyncio.sleep(0)
            how = "failed" if fails else "was completed"
            with pytest.raises(NotCancellable, match=f"{how} before"):
                await cancel_running(running)

    run(work())


def test_found_by_id_or_by_the_beginning_of_one() -> None:
    async def work() -> None:
        table = OperationTable()
        event = asyncio.Event()
        event.set()
        with (
            in_progress(table, event.wait()) as first,
            in_progress(table, event.wait(), number="op-12345"),
        ):
            assert table.get("op-1234") is first
            assert table.get("op-12345") is not first
            for ref in ("", "op-9", "op-123"):
                with pytest.raises(OperationNotFound):
                    table.get(ref)
            # Who asks does not find itself.
            token = current_operation.set("op-12345")
            assert table.list() == [first]
            current_operation.reset(token)
        assert table.list() == []

    run(work())


def test_an_operation_of_the_engines_own() -> None:
    """Its id is in the log, and what it reports is seen."""

    async def work() -> None:
        table = OperationTable()
        with table.own("vm.stop", VM) as op:
            assert current_operation.get() == op.id
            op.progress("flush")
            table.concerns(VmId("b" * 12))
            current_operation.set("-")
            (running,) = table.list()
            assert (running.stage, running.vm_id) == ("flush", VM)
            assert not running.is_cancellable
        table.reported(op, Progress("too late"))

    run(work())
