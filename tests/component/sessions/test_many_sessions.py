"""Many sessions of one VM at the same time."""

from __future__ import annotations

import asyncio

from banger import AsyncClient
from banger.sdk.aio.sessions import AsyncSession
from tests.component.sessions.conftest import Daemons

SESSIONS = 100
END_S = 110.0


async def talk(session: AsyncSession, number: int) -> tuple[int, list[tuple[int, bytes]]]:
    """Send a session its number; return its status and what it said."""
    await session.send(f"{number}\n")
    status = await session.wait()
    return status, [piece async for piece in session.logs()]


async def run_sessions() -> None:
    vm = await AsyncClient(autostart=False).get("box")
    script = "read number; echo got $number; exit $number"
    names = [f"s{number}" for number in range(SESSIONS)]
    starts = (vm.sessions.start(["sh", "-c", script], name=name, stdin=True) for name in names)
    sessions = await asyncio.gather(*starts)
    states = [(await each.show())["state"] for each in await vm.sessions.list()]
    assert states == ["running"] * SESSIONS
    ends = await asyncio.gather(*(talk(each, number) for number, each in enumerate(sessions)))
    assert ends == [(number, [(1, f"got {number}\n".encode())]) for number in range(SESSIONS)]


def test_a_hundred_run_at_once(daemons: Daemons) -> None:
    """H7: each has its own input, output and end."""
    asyncio.run(asyncio.wait_for(run_sessions(), END_S))
