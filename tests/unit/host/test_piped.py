"""What is left of a program with pipes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from banger.host.programs import piped

WAIT_S = 60.0


async def leave(script: str) -> int:
    """Leave a program that has ended, and whose child holds its pipes; return the child's pid."""
    async with piped(["sh", "-c", script]) as process:
        assert process.stdout
        child = int(await asyncio.wait_for(process.stdout.readline(), WAIT_S))
        while process.returncode is None:  # noqa: ASYNC110 - waiting waits for the pipes
            await asyncio.sleep(0.01)
    await asyncio.sleep(0)  # a transport closes at the loop's next turn
    return child


def find_pipes() -> set[str]:
    """Return the pipes that this process has open."""
    pipes = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing
            pipes.add(os.readlink(f"/proc/self/fd/{fd}"))
    return {link for link in pipes if link.startswith("pipe:")}


def test_pipes_that_a_child_holds_are_closed() -> None:
    """In a daemon they would stay for as long as the child runs."""

    async def body() -> None:
        before = find_pipes()
        child = await leave("sleep 1000 & echo $!")
        try:
            assert find_pipes() <= before
        finally:
            os.kill(child, signal.SIGKILL)

    asyncio.run(asyncio.wait_for(body(), WAIT_S))
