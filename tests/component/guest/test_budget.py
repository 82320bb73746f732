"""The stream budget with the real agent: as many at once as users start, of both versions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from banger.guest import (
    ExecSpec,
    GuestConnection,
    Lane,
    connect,
    ping,
    run,
    start_exec,
    sync,
    tar_out,
    watch_listeners,
)
from banger.guest.admission import plan_shares
from tests.support.agent import RunningAgent, agent_connection, running_agent

D = 60.0
"""Seconds that nothing here comes near to."""

Body = Callable[[GuestConnection], Awaitable[None]]


def play(binary: Path, body: Body) -> None:
    """Run the body on a connection to an agent of its own."""

    async def within_time() -> None:
        async with asyncio.timeout(2 * D), agent_connection(binary) as connection:
            await body(connection)

    asyncio.run(within_time())


async def say(connection: GuestConnection, number: int, noted: list[int]) -> bytes:
    """Run a command of a user's that prints its number."""
    spec = ExecSpec((b"sh", b"-c", b"echo %d; exit 7" % number))
    process = await start_exec(connection, spec, deadline_s=D, on_wait=noted.append)
    async with process:
        output = b"".join([data async for _, data in process.output()])
        assert (await process.wait()).status == 7
        return output


@pytest.mark.parametrize("agent", ["agent_binary", "agent_of_version_1"])
def test_a_hundred_commands_at_once_all_run(agent: str, request: pytest.FixtureRequest) -> None:
    """None fails for want of a stream; with an old agent some wait, and are told so."""

    async def body(connection: GuestConnection) -> None:
        noted: list[int] = []
        said = await asyncio.gather(*(say(connection, each, noted) for each in range(100)))
        assert said == [b"%d\n" % each for each in range(100)]
        room = plan_shares(connection.hello.streams)[Lane.COMMANDS]
        assert noted == [room] * max(0, 100 - room)
        assert connection.hello.streams == (2048 if agent == "agent_binary" else 64)
        await ping(connection, deadline_s=D)

    play(request.getfixturevalue(agent), body)


def test_an_agent_of_version_1_is_served_in_every_way(
    agent_of_version_1: Path, tmp_path: Path
) -> None:
    """As in a VM that an older banger started: large data both ways, copies, watches."""
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)

    async def body(connection: GuestConnection) -> None:
        assert connection.hello.version == 1
        done = await run(connection, [b"cat"], stdin=content, deadline_s=D)
        assert done.untrusted_stdout == content
        async with tar_out(connection, os.fsencode(tmp_path), deadline_s=D) as chunks:
            assert content in b"".join([chunk async for chunk in chunks])
        async for _ in watch_listeners(connection):
            break
        await sync(connection, deadline_s=D)

    play(agent_of_version_1, body)


def test_waiting_commands_run_while_the_agents_streams_are_all_taken(
    agent_of_version_1: Path,
) -> None:
    """Commands that never end hold their lane; the host's own go on, and one end lets one in."""

    async def body(connection: GuestConnection) -> None:
        room = plan_shares(64)[Lane.COMMANDS]
        sleep = ExecSpec((b"sleep", b"1000"))
        sleepers = [await start_exec(connection, sleep, deadline_s=D) for _ in range(room)]
        noted: list[int] = []
        late = asyncio.create_task(say(connection, 1, noted))
        assert (await run(connection, [b"echo", b"own"], deadline_s=D)).untrusted_stdout == b"own\n"
        await sync(connection, deadline_s=D)
        assert noted == [room]
        assert not late.done()
        await sleepers[0].close()
        assert await late == b"1\n"
        for each in sleepers:
            await each.close()

    play(agent_of_version_1, body)


def test_no_descriptor_of_the_agent_is_left(agent_binary: Path) -> None:
    async def work(agent: RunningAgent) -> None:
        connection = await connect(agent.socket.dup(), deadline_s=D)
        counts = []
        for commands in (0, 100, 100):
            await asyncio.gather(*(say(connection, each, []) for each in range(commands)))
            await ping(connection, deadline_s=D)
            counts.append(len(os.listdir(f"/proc/{agent.process.pid}/fd")))
        await connection.close()
        assert counts == counts[:1] * 3

    with running_agent(agent_binary) as agent:
        asyncio.run(work(agent))
