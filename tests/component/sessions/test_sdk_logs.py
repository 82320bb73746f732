"""The Python clients read a session's output over daemons that follow each other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from banger import AsyncClient, Client
from tests.component.sessions.conftest import Box

Follow = Callable[[Callable[[], None]], list[bytes]]


def follow(between: Callable[[], None]) -> list[bytes]:
    """Return the output of `box`'s session `job`; `between` is called after its first piece."""
    pieces: Iterator[tuple[int, bytes]] = (
        Client(autostart=False).get("box").sessions.get("job").logs(follow=True)
    )
    found = [next(pieces)[1]]
    between()
    return found + [data for _, data in pieces]


def follow_in_a_loop(between: Callable[[], None]) -> list[bytes]:
    """Do the same by the other client."""

    async def run() -> list[bytes]:
        vm = await AsyncClient(autostart=False).get("box")
        job = await vm.sessions.get("job")
        pieces: AsyncIterator[tuple[int, bytes]] = job.logs(follow=True)
        found = [(await anext(pieces))[1]]
        between()
        return found + [data async for _, data in pieces]

    return asyncio.run(run())


@pytest.mark.parametrize("read", [follow, follow_in_a_loop])
def test_logs_are_followed_over_a_death_of_the_daemon(
    box: Box, short_dir: Path, monkeypatch: pytest.MonkeyPatch, read: Follow
) -> None:
    """H9: the next daemon goes on where the last was cut off; nothing is twice."""
    for name, value in box.environ.items():
        monkeypatch.setenv(name, value)
    go_on = short_dir / "go-on"
    with contextlib.ExitStack() as daemons:
        first = daemons.enter_context(box.daemon())

        def replace_daemon() -> None:
            first.kill()
            first.wait()
            daemons.enter_context(box.daemon())
            go_on.touch()

        box.start("job", f"echo one; while [ ! -e {go_on} ]; do sleep 0.05; done; echo two")
        assert read(replace_daemon) == [b"one\n", b"two\n"]
