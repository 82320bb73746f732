"""Lock L4: one works, all get the result (C3, C5)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from banger.engine.state.shared import Progress, SharedWork
from banger.engine.state.tasks import OwnedTasks
from banger.errors import OperationFailed


def run(work: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


def ignore(*_: object) -> None:
    """Nobody listens."""


class Build:
    """Work that counts its starts and ends when it is told to."""

    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.release = asyncio.Event()

    async def __call__(self, progress: Progress) -> str:
        self.started += 1
        progress("build")
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return f"result {self.started}"


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_two_askers_start_it_once() -> None:
    async def work() -> None:
        shared, build = SharedWork(OwnedTasks()), Build()
        heard: list[str] = []
        askers = [
            asyncio.create_task(shared.run("image:a", build, lambda stage, *_: heard.append(stage)))
            for _ in range(2)
        ]
        await settled()
        build.release.set()
        assert await asyncio.gather(*askers) == ["result 1", "result 1"]
        assert heard == ["build", "build"]

    run(work())


def test_the_work_goes_on_when_the_first_asker_leaves() -> None:
    async def work() -> None:
        shared, build = SharedWork(OwnedTasks()), Build()
        first = asyncio.create_task(shared.run("k", build, ignore))
        second = asyncio.create_task(shared.run("k", build, ignore))
        await settled()
        first.cancel()
        await settled()
        build.release.set()
        assert await second == "result 1"
        assert build.cancelled == 0

    run(work())


def test_the_work_ends_when_the_last_asker_leaves() -> None:
    async def work() -> None:
        shared, build = SharedWork(OwnedTasks()), Build()
        askers = [asyncio.create_task(shared.run("k", build, ignore)) for _ in range(2)]
        await settled()
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
        await settled()
        assert build.cancelled == 1
        build.release.set()
        assert await shared.run("k", build, ignore) == "result 2"

    run(work())


def test_an_asker_right_after_a_cancellation_starts_anew() -> None:
    async def work() -> None:
        shared, build = SharedWork(OwnedTasks()), Build()
        first = asyncio.create_task(shared.run("k", build, ignore))
        await settled()
        first.cancel()
        # No turn of the loop in between for the cancelled work to end in.
        second = asyncio.create_task(shared.run("k", build, ignore))
        build.release.set()
        await asyncio.gather(first, return_exceptions=True)
        assert await second == "result 2"

    run(work())


def test_every_asker_gets_the_error_and_the_next_one_tries_again() -> None:
    async def work() -> None:
        shared = SharedWork(OwnedTasks())
        tries: list[int] = []

        async def fail(_: Progress) -> str:
            tries.append(1)
            await asyncio.sleep(0)
            raise OperationFailed("No.")

        results = await asyncio.gather(
            shared.run("k", fail, ignore), shared.run("k", fail, ignore), return_exceptions=True
        )
        assert [type(result) for result in results] == [OperationFailed, OperationFailed]
        with pytest.raises(OperationFailed):
            await shared.run("k", fail, ignore)
        assert len(tries) == 2

    run(work())


def test_closing_the_owner_ends_the_work() -> None:
    async def work() -> None:
        tasks = OwnedTasks()
        build = Build()
        asker = asyncio.create_task(SharedWork(tasks).run("k", build, ignore))
        await settled()
        await tasks.close()
        with pytest.raises(asyncio.CancelledError):
            await asker
        assert build.cancelled == 1

    run(work())
