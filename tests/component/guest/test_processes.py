"""What runs in a guest, through the host side: with the real agent, an old one, a hostile one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from banger.errors import GuestProtocolError, GuestRefused
from banger.guest import GuestConnection, list_processes, processes
from banger.guest.codec import FrameType
from tests.component.guest.scripted import Agent, frame, play, refusal
from tests.support.agent import agent_connection
from tests.unit.guest.test_processes import record

D = 20.0


def test_what_runs_is_listed(agent_binary: Path) -> None:
    async def work() -> None:
        async with agent_connection(agent_binary) as connection:
            found = await list_processes(connection, deadline_s=D)
        (own,) = (each for each in found if each.pid == os.getpid())
        assert own.uid == os.getuid()
        assert b"pytest" in own.command or b"python" in own.command
        assert not own.is_of_kernel

    asyncio.run(asyncio.wait_for(work(), 60))


def test_an_older_agent_lists_nothing() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(refusal(1, b"bad-request"))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(GuestRefused, match="older banger, which cannot list processes"):
            await list_processes(connection, deadline_s=D)

    play(script, body)


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        (record(b"sleep", b"root")[:-1], "cut off"),
        (record(b"", b"", lengths=(2**31, 0)), "out of range"),
        (record(b"", b"") * 3, "too many"),
        (record(b"x" * 300, b""), "too many"),
    ],
    ids=["cut", "long", "many", "big"],
)
def test_what_a_hostile_guest_says_is_one_error(
    said: bytes, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E2"""
    monkeypatch.setattr(processes, "PROCESSES_MAX", 2)
    monkeypatch.setattr(processes, "LIST_BYTES_MAX", 300)

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(frame(FrameType.DATA, 1, said, channel=1))
        agent.say(frame(FrameType.RESULT, 1))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(GuestProtocolError, match=fact):
            await list_processes(connection, deadline_s=D)

    play(script, body)
