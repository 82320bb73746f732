"""Events: to whom they come, in which order, and that who is slow costs no memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from banger.engine.state.events import KEPT, Events
from banger.model.names import VmId
from banger.model.vm import EventKind, VmState

ONE, TWO = VmId("1" * 12), VmId("2" * 12)


def run(work: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


def test_one_listens_to_all_and_another_to_one() -> None:
    async def work() -> None:
        events = Events(lambda: 5.0)
        with events.listening() as everything, events.listening(TWO) as second:
            events.publish(EventKind.CREATED, ONE, "one", state=VmState.CREATED)
            events.publish(EventKind.DELETED, TWO, "two")
            events.publish(EventKind.CREATED, ONE, "template/x")
            first = await everything.next()
            assert (first.kind, first.vm_id, first.name, first.at) == ("created", ONE, "one", 5.0)
            assert (await everything.next()) == (await second.next())
            assert not await everything.wait(0)
        events.publish(EventKind.DELETED, ONE, "one")

    run(work())


def test_who_is_slow_loses_the_oldest_and_is_told() -> None:
    """E2's rule for clients: bounded."""

    async def work() -> None:
        events = Events(lambda: 0.0)
        with events.listening() as slow:
            for number in range(KEPT + 3):
                events.publish(EventKind.NOTICE, ONE, "one", text=str(number))
            missed = await slow.next()
            assert (missed.kind, missed.lost) == (EventKind.MISSED, 3)
            texts = [(await slow.next()).text for _ in range(KEPT)]
            assert texts == [str(number) for number in range(3, KEPT + 3)]
            events.publish(EventKind.NOTICE, ONE, "one", text="later")
            assert (await slow.next()).text == "later"

    run(work())


def test_waiting_for_news() -> None:
    async def work() -> None:
        events = Events(lambda: 0.0)
        with events.listening(ONE) as listener:
            waiting = asyncio.create_task(listener.wait(60))
            await asyncio.sleep(0)
            events.publish(EventKind.DELETED, ONE, "one")
            assert await waiting
            assert not await listener.wait(0)

    run(work())


def test_the_newest_are_kept_and_it_is_told_where_some_are_not() -> None:
    async def work() -> None:
        clock = iter(range(10 * KEPT))
        events = Events(lambda: float(next(clock)))
        for number in range(3):
            events.publish(EventKind.NOTICE, ONE, "one", text=str(number))
        with events.listening(since=2.0) as listener:
            assert [(await listener.next()).text for _ in range(2)] == ["1", "2"]
            assert listener.take() is None
        for number in range(3, KEPT + 1):
            events.publish(EventKind.NOTICE, ONE, "one", text=str(number))
        assert events.complete_since == 1.0
        with events.listening(since=0.5) as listener:
            assert (await listener.next()).kind is EventKind.MISSED
            assert (await listener.next()).text == "1"
        with events.listening(since=1.0) as listener:
            assert (await listener.next()).text == "1"

    run(work())
