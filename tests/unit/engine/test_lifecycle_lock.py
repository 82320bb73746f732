"""Lock L2: refused when it is held, taken over by kill and delete."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from banger.engine.state.operations import Operation
from banger.engine.state.runtime import LifecycleLock
from banger.errors import Cancelled, VmBusy
from banger.model.names import OperationId


def operation(method: str) -> Operation:
    return Operation(OperationId(f"op-{method}"), method, 0.0)


def run(work: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


async def hold_until(lock: LifecycleLock, method: str, release: asyncio.Event) -> None:
    async with lock.hold(operation(method)):
        await release.wait()


async def wait_and_hold(lock: LifecycleLock, method: str) -> None:
    async with lock.hold(operation(method), wait=True):
        assert lock.holder == operation(method)
        await asyncio.sleep(0)


async def held(lock: LifecycleLock) -> None:
    while lock.holder is None:  # noqa: ASYNC110 - the lock has no such event, nor needs one
        await asyncio.sleep(0)


def test_a_second_operation_is_told_who_holds_the_vm() -> None:
    """C5: nobody waits unknowingly."""

    async def work() -> None:
        lock, release = LifecycleLock(), asyncio.Event()
        holder = asyncio.create_task(hold_until(lock, "vm.start", release))
        await held(lock)
        with pytest.raises(VmBusy, match=r"vm\.start is in progress \(operation op-vm\.start\)"):
            async with lock.hold(operation("vm.stop")):
                pass
        release.set()
        await holder
        async with lock.hold(operation("vm.stop")):
            assert lock.holder == operation("vm.stop")
        assert lock.holder is None

    run(work())


def test_delete_ends_the_holder_and_waits_for_its_undoing() -> None:
    async def work() -> None:
        lock = LifecycleLock()
        undone: list[str] = []

        async def start() -> None:
            async with lock.hold(operation("vm.start")):
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0.01)
                    undone.append("start")

        starter = asyncio.create_task(start())
        await held(lock)
        async with lock.hold(operation("vm.delete"), preempt=True):
            assert undone == ["start"]
        with pytest.raises(Cancelled, match=r"vm\.start was ended by vm\.delete"):
            await starter

    run(work())


def test_the_ended_operation_is_not_cancelled_for_good() -> None:
    """Its request can still answer: the cancellation was ours, not its client's."""

    async def work() -> None:
        lock = LifecycleLock()

        async def start() -> str:
            try:
                await hold_until(lock, "vm.start", asyncio.Event())
            except Cancelled:
                await asyncio.sleep(0)
                return "answered"
            return "not ended"

        starter = asyncio.create_task(start())
        await held(lock)
        async with lock.hold(operation("vm.kill"), preempt=True):
            pass
        assert await starter == "answered"

    run(work())


def test_a_cancellation_from_outside_stays_one() -> None:
    async def work() -> None:
        lock = LifecycleLock()
        holder = asyncio.create_task(hold_until(lock, "vm.start", asyncio.Event()))
        await held(lock)
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        assert lock.holder is None

    run(work())


def test_two_deletes_both_get_their_turn() -> None:
    async def work() -> None:
        lock = LifecycleLock()
        starter = asyncio.create_task(hold_until(lock, "vm.start", asyncio.Event()))
        await held(lock)
        turns: list[str] = []

        async def delete(name: str) -> None:
            async with lock.hold(operation(name), preempt=True):
                turns.append(name)

        results = await asyncio.gather(delete("a"), delete("b"), starter, return_exceptions=True)
        assert sorted(turns) == ["a", "b"]
        assert isinstance(results[2], Cancelled)

    run(work())


def test_who_waits_gets_the_lock_whoever_else_is_quick() -> None:
    """B3: the clean-up after a VMM that died is not lost to a verb that came first."""

    async def work() -> None:
        lock, release = LifecycleLock(), asyncio.Event()
        holder = asyncio.create_task(hold_until(lock, "vm.start", release))
        await held(lock)
        waiters = [
            asyncio.create_task(wait_and_hold(lock, method)) for method in ("vm.ended", "vm.late")
        ]
        await asyncio.sleep(0)
        assert not any(waiter.done() for waiter in waiters)
        release.set()
        await asyncio.gather(holder, *waiters)
        assert lock.holder is None

    run(work())
