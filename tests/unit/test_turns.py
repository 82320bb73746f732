"""Who floods the daemon waits for a turn, and nobody else does."""

from __future__ import annotations

import asyncio

from banger.api.table import METHODS
from banger.daemon.fairness import EAGER_S, QUICK, Turns


def test_who_pauses_goes_ahead_of_those_who_do_not() -> None:
    """C2: also of those who have waited; and what takes long takes no turn."""

    async def work() -> None:
        turns, order = Turns(), list[str]()
        done = asyncio.Event()

        async def ask(name: str, method: str, since_answer_s: float) -> None:
            async with turns.take(method, since_answer_s=since_answer_s):
                order.append(name)
                if name == "first":
                    await done.wait()

        asked = [
            asyncio.create_task(ask("first", "vm.list", 0.0)),
            asyncio.create_task(ask("leaves", "vm.list", 0.0)),
            asyncio.create_task(ask("second", "vm.show", 0.0)),
            asyncio.create_task(ask("third", "vm.list", EAGER_S / 2)),
            asyncio.create_task(ask("pauses", "vm.list", EAGER_S)),
            asyncio.create_task(ask("also pauses", "vm.show", 60.0)),
            asyncio.create_task(ask("creates", "vm.create", 0.0)),
        ]
        for _ in range(10):
            await asyncio.sleep(0)
        asked[1].cancel()
        done.set()
        await asyncio.gather(*asked, return_exceptions=True)
        assert order == ["first", "creates", "pauses", "also pauses", "second", "third"]

    asyncio.run(asyncio.wait_for(work(), 10))


def test_the_patient_are_answered_one_at_a_time() -> None:
    """C2: answers that come in heaps would make a flood look patient."""

    async def work() -> None:
        turns, inside = Turns(), 0

        async def ask() -> None:
            nonlocal inside
            async with turns.take("vm.list", since_answer_s=60.0):
                inside += 1
                await asyncio.sleep(0)
                assert inside == 1
                inside -= 1

        await asyncio.gather(*(ask() for _ in range(5)))

    asyncio.run(asyncio.wait_for(work(), 10))


def test_only_what_there_is_takes_turns() -> None:
    assert METHODS.keys() >= QUICK
    assert not any(METHODS[name].stream or METHODS[name].detached for name in QUICK)
