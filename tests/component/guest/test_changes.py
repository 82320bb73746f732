"""What changes in a guest, by the host side: with the real agent, an old one, a hostile one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from banger.errors import (
    BangerError,
    DeadlineExceeded,
    GuestPathNotFound,
    GuestProtocolError,
    GuestRefused,
)
from banger.guest import (
    ChangeKind,
    GuestChange,
    GuestConnection,
    Lane,
    connect,
    list_processes,
    watch_changes,
)
from banger.guest.changes import RECORD, parse_changes
from banger.guest.codec import FrameType
from tests.component.daemon.running import is_alive, wait_until
from tests.component.guest.scripted import Agent, frame, play, refusal
from tests.support.agent import RunningAgent, agent_connection, running_agent

D = 20.0
CREATED, MODIFIED, DELETED, MISSED = list(ChangeKind)[1:]
LIMIT = Path("/proc/sys/fs/inotify/max_queued_events")
Told = AsyncIterator[GuestChange]
E = TypeVar("E", bound=BangerError)


def connected(agent_binary: Path, work: Callable[[GuestConnection], Awaitable[None]]) -> None:
    """Do something with an agent."""

    async def run() -> None:
        async with agent_connection(agent_binary) as connection:
            await work(connection)

    asyncio.run(asyncio.wait_for(run(), 60))


def watched(agent_binary: Path, top: Path, work: Callable[[Told], Awaitable[None]]) -> None:
    """Do something while an agent watches a directory."""

    async def watch(connection: GuestConnection) -> None:
        async with watch_changes(connection, os.fsencode(top), deadline_s=D) as told:
            await work(told)

    connected(agent_binary, watch)


async def refused(
    connection: GuestConnection, path: bytes, kind: type[E], *, deadline_s: float = D
) -> E:
    """Return the error, which must be of a kind, of watching a directory."""
    with pytest.raises(kind) as raised:
        async with watch_changes(connection, path, deadline_s=deadline_s):
            raise AssertionError("it is watched")
    return raised.value


async def take_until(told: Told, last: GuestChange) -> list[GuestChange]:
    """Return what is told up to a change, without those that are told twice in a row."""
    found: list[GuestChange] = []
    async for change in told:
        if change not in found[-1:]:
            found.append(change)
        if change == last:
            return found
    raise AssertionError(f"{last} was not told: {found}")


def test_what_happens_to_files_is_told(agent_binary: Path, short_dir: Path) -> None:
    (short_dir / "deep/er").mkdir(parents=True)
    (short_dir / "link").symlink_to("/")

    async def work(told: Told) -> None:
        file = short_dir / "deep/er/file"
        file.touch()
        await take_until(told, GuestChange(CREATED, b"deep/er/file"))
        file.write_bytes(b"more")
        await take_until(told, GuestChange(MODIFIED, b"deep/er/file"))
        file.chmod(0o600)
        await take_until(told, GuestChange(MODIFIED, b"deep/er/file"))
        file.rename(short_dir / "caf\udce9")
        renamed = await take_until(told, GuestChange(CREATED, b"caf\xe9"))
        assert renamed[-2] == GuestChange(DELETED, b"deep/er/file")
        (short_dir / "caf\udce9").unlink()
        await take_until(told, GuestChange(DELETED, b"caf\xe9"))

    watched(agent_binary, short_dir, work)


def test_new_directories_are_watched_and_those_that_left_are_not(
    agent_binary: Path, short_dir: Path
) -> None:
    top, outside = short_dir / "top", short_dir / "outside"
    top.mkdir()
    (outside / "tree/below").mkdir(parents=True)
    (outside / "tree/below/file").touch()

    async def work(told: Told) -> None:
        (outside / "tree").rename(top / "in")
        await take_until(told, GuestChange(CREATED, b"in/below/file"))
        (top / "in/below/second").touch()
        await take_until(told, GuestChange(CREATED, b"in/below/second"))
        (top / "in").rename(top / "moved")
        await take_until(told, GuestChange(CREATED, b"moved/below/second"))
        (top / "moved/below/second").unlink()
        await take_until(told, GuestChange(DELETED, b"moved/below/second"))
        (top / "moved").rename(outside / "out")
        await take_until(told, GuestChange(DELETED, b"moved"))
        (outside / "out/below/third").touch()
        (top / "last").touch()
        last = GuestChange(CREATED, b"last")
        assert await take_until(told, last) == [last]

    watched(agent_binary, top, work)


def test_it_ends_with_its_directory(agent_binary: Path, short_dir: Path) -> None:
    top = short_dir / "top"
    top.mkdir()

    async def work(connection: GuestConnection) -> None:
        async with watch_changes(connection, os.fsencode(top), deadline_s=D) as told:
            shutil.rmtree(top)
            assert [change async for change in told] == [GuestChange(DELETED, b"")]
        await refused(connection, os.fsencode(top), GuestPathNotFound)

    connected(agent_binary, work)


def change_too_much(directory: Path) -> None:
    """Change more, while nobody reads, than the kernel's queue has room for."""
    names = [directory / f"{'n' * 200}{number}" for number in range(500)]
    for number in range(int(LIMIT.read_text()) + 10_000):
        name = names[number % len(names)]
        name.unlink() if name.exists() else name.touch()


def test_what_is_lost_while_nobody_reads_is_told(agent_binary: Path, short_dir: Path) -> None:
    """E2, H7: the kernel's queue is the bound, and whoever reads goes on afterwards."""

    async def work(told: Told) -> None:
        await asyncio.to_thread(change_too_much, short_dir)
        await take_until(told, GuestChange(MISSED, b""))
        (short_dir / "last").mkdir()
        await take_until(told, GuestChange(CREATED, b"last"))
        (short_dir / "last/file").touch()
        await take_until(told, GuestChange(CREATED, b"last/file"))

    watched(agent_binary, short_dir, work)


def test_what_left_while_nobody_read_is_watched_no_more(
    agent_binary: Path, short_dir: Path
) -> None:
    top, outside = short_dir / "top", short_dir / "outside"
    (top / "tree").mkdir(parents=True)

    async def work(told: Told) -> None:
        await asyncio.to_thread(change_too_much, top)
        (top / "tree").rename(outside)
        await take_until(told, GuestChange(MISSED, b""))
        (outside / "file").touch()
        (top / "last").touch()
        last = GuestChange(CREATED, b"last")
        assert await take_until(told, last) == [last]

    watched(agent_binary, top, work)


def test_it_ends_though_its_end_was_lost(agent_binary: Path, short_dir: Path) -> None:
    """E2: whoever reads again does not wait for what cannot come."""
    top = short_dir / "top"
    top.mkdir()

    async def work(told: Told) -> None:
        await asyncio.to_thread(change_too_much, top)
        shutil.rmtree(top)
        assert [change async for change in told][-1] == GuestChange(DELETED, b"")

    watched(agent_binary, top, work)


@pytest.mark.parametrize("path", [b"/proc", b"/proc/sys", b"/sys", b"/dev"])
def test_what_the_kernel_makes_up_is_not_watched(agent_binary: Path, path: bytes) -> None:
    async def work(connection: GuestConnection) -> None:
        error = await refused(connection, path, GuestRefused)
        assert error.guest_code == "kernel-files"

    connected(agent_binary, work)


def test_a_watch_does_not_wait_for_its_turn_without_an_end(agent_binary: Path) -> None:
    """H2: others may hold all that the lane has."""

    async def work(connection: GuestConnection) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.1):
                    await connection.admit(Lane.COMMANDS)
        await refused(connection, b"/", DeadlineExceeded, deadline_s=0.1)

    connected(agent_binary, work)


def test_a_watch_ends_with_its_block(agent_binary: Path, short_dir: Path) -> None:
    async def work(connection: GuestConnection) -> None:
        for _ in range(3 * connection.hello.streams // 8 + 1):
            with contextlib.suppress(ZeroDivisionError):
                async with watch_changes(connection, os.fsencode(short_dir), deadline_s=D):
                    raise ZeroDivisionError

    connected(agent_binary, work)


def test_a_watch_ends_with_its_agent(agent_binary: Path, short_dir: Path) -> None:
    async def run(agent: RunningAgent) -> list[int]:
        connection = await connect(agent.socket.dup(), deadline_s=D)
        async with watch_changes(connection, os.fsencode(short_dir), deadline_s=D):
            pid = agent.process.pid
            running = await list_processes(connection, deadline_s=D)
            agent.process.kill()
        await connection.close()
        return [each.pid for each in running if each.parent == pid]

    with running_agent(agent_binary, status=-signal.SIGKILL) as agent:
        (worker,) = asyncio.run(asyncio.wait_for(run(agent), 60))
        wait_until(lambda: not is_alive(worker), "the worker has ended")


def test_an_older_agent_watches_nothing() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(refusal(1, b"bad-request"))

    async def body(connection: GuestConnection) -> None:
        error = await refused(connection, b"/", GuestRefused)
        assert "older banger, which cannot watch files" in error.message

    play(script, body)


def change(kind: int, name: bytes = b"", *, length: int | None = None) -> bytes:
    return RECORD.pack(len(name) if length is None else length, kind) + name


def test_a_guest_that_does_not_begin_as_it_should() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(frame(FrameType.DATA, 1, change(1, b"a"), channel=1))
        await agent.hear(FrameType.CLOSE)

    async def body(connection: GuestConnection) -> None:
        error = await refused(connection, b"/", GuestProtocolError)
        assert "that it is watching" in error.message

    play(script, body)


@pytest.mark.parametrize(
    "said",
    [
        change(5, b"a"),
        change(1, length=4097),
        change(1, b"../a"),
        change(1, b"/a"),
        change(1, b"a\0b"),
    ],
)
def test_what_a_hostile_guest_says_is_refused(said: bytes) -> None:
    """E2"""
    with pytest.raises(GuestProtocolError):
        parse_changes(said)


@pytest.mark.parametrize("cut", range(12))
def test_records_are_whole_however_they_come(cut: int) -> None:
    said = change(0) + change(1, b"abc")
    first, rest = parse_changes(said[:cut])
    second, rest = parse_changes(rest + said[cut:])
    assert first + second == [
        GuestChange(ChangeKind.READY, b""),
        GuestChange(ChangeKind.CREATED, b"abc"),
    ]
    assert rest == b""
