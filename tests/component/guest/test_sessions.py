"""Sessions of the real agent: they outlive connections, and their last output is kept (B11, E2, H).

Connections follow each other as daemons do: each is greeted anew on the socket of the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from banger.errors import (
    ExecBadDirectory,
    ExecNotFound,
    GuestRefused,
    SessionBusy,
    SessionEnded,
    SessionExists,
    SessionNotFound,
    SessionRunning,
    SessionTakesNoInput,
)
from banger.guest import (
    AttachSpec,
    ExecSpec,
    Gap,
    GuestConnection,
    GuestSession,
    SessionAttachment,
    attach_session,
    connect,
    delete_session,
    get_session,
    list_sessions,
    open_session_input,
    ping,
    run,
    signal_session,
    start_session,
    wait_session,
)
from banger.guest.exec import ExitStatus
from tests.support.agent import RunningAgent, running_agent

D = 60.0
"""Seconds that nothing here comes near to."""

KEPT = 4 * 1024 * 1024
POOL = 64 * 1024 * 1024
CHUNK = 32768
SLEEP = "while :; do sleep 1000; done"

Hosts = Callable[[], contextlib.AbstractAsyncContextManager[GuestConnection]]
Body = Callable[[Hosts], Awaitable[None]]


def play(binary: Path, body: Body) -> None:
    """Run the body with hosts that come one after the other to one agent."""

    async def within_time(agent: RunningAgent) -> None:
        @contextlib.asynccontextmanager
        async def host() -> AsyncIterator[GuestConnection]:
            connection = await connect(agent.socket.dup(), deadline_s=D)
            yield connection
            # As a daemon that dies: the socket goes without a word.
            connection._link._transport.abort()  # type: ignore[union-attr]  # it is connected

        async with asyncio.timeout(2 * D):
            await body(host)

    with running_agent(binary) as agent:
        asyncio.run(within_time(agent))


def shell(script: str, *, stdin: bool = False, terminal: tuple[int, int] | None = None) -> ExecSpec:
    return ExecSpec((b"sh", b"-c", script.encode()), stdin=stdin, terminal=terminal)


async def start(
    connection: GuestConnection, name: str, script: str, **options: object
) -> GuestSession:
    return await start_session(connection, name, shell(script, **options), deadline_s=D)  # type: ignore[arg-type]  # shell's


async def attach(connection: GuestConnection, name: str, **options: object) -> SessionAttachment:
    view = AttachSpec(**options)  # type: ignore[arg-type]  # its own
    return await attach_session(connection, name, view, deadline_s=D)


async def read_all(attachment: SessionAttachment) -> tuple[bytes, list[int]]:
    """Return the output until its end, and the gaps."""
    data, gaps = bytearray(), []
    while (piece := await attachment.read()) is not None:
        if isinstance(piece, Gap):
            gaps.append(piece.size)
        else:
            data += piece.untrusted_data
    return bytes(data), gaps


async def read_until(attachment: SessionAttachment, needle: bytes) -> bytes:
    data = b""
    while (piece := await attachment.read()) is not None:
        assert not isinstance(piece, Gap)
        data += piece.untrusted_data
        if needle in data:
            return data
    raise AssertionError(f"the output ended without {needle!r}: {data!r}")


def parent_of(pid: int | None) -> int:
    """The agent, of a program that runs."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def wait_for(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - nothing of the agent tells of this
        await asyncio.sleep(0.01)


async def output_of(connection: GuestConnection, name: str, **options: object) -> bytes:
    async with await attach(connection, name, follow=False, **options) as attachment:
        return (await read_all(attachment))[0]


def test_a_session_is_kept_with_its_output_and_end(agent_binary: Path) -> None:
    async def body(host: Hosts) -> None:
        before_ns = time.time_ns()
        async with host() as connection:
            made = await start(connection, "one", "echo out; echo err >&2; exit 7")
            assert made.name == "one" and made.untrusted_argv[:2] == (b"sh", b"-c")
        async with host() as connection:
            assert await wait_session(connection, "one") == ExitStatus(7)
            (session,) = await list_sessions(connection, deadline_s=D)
            assert session == await get_session(connection, "one", deadline_s=D)
            assert session.exit == ExitStatus(7) and session.pid is None
            assert (session.kept_from, session.size) == (0, 8)
            assert session.ended_ns is not None
            assert before_ns <= session.started_ns <= session.ended_ns <= time.time_ns()
            async with await attach(connection, "one") as attachment:
                said = {}
                while (piece := await attachment.read()) is not None:
                    assert not isinstance(piece, Gap)
                    said[piece.channel] = piece.untrusted_data
                assert await attachment.wait() == ExitStatus(7)
            assert said == {1: b"out\n", 2: b"err\n"}
            await delete_session(connection, "one", deadline_s=D)
            assert await list_sessions(connection, deadline_s=D) == []

    play(agent_binary, body)


def test_what_cannot_be(agent_binary: Path) -> None:
    """H6: each refusal is its own error, and leaves nothing."""

    async def body(host: Hosts) -> None:
        async with host() as connection:
            for argv, cwd, error in (
                (b"no-such-program", None, ExecNotFound),
                (b"true", b"/no/such/directory", ExecBadDirectory),
                (b"true", b"relative", GuestRefused),
            ):
                spec = ExecSpec((argv,), cwd=cwd)
                with pytest.raises(error):
                    await start_session(connection, "one", spec, deadline_s=D)
            assert await list_sessions(connection, deadline_s=D) == []
            for ask in (
                get_session(connection, "one", deadline_s=D),
                attach(connection, "one"),
                open_session_input(connection, "one", end_input=False, deadline_s=D),
                signal_session(connection, "one", 15, deadline_s=D),
                wait_session(connection, "one"),
                delete_session(connection, "one", deadline_s=D),
            ):
                with pytest.raises(SessionNotFound):
                    await ask
            await start(connection, "one", SLEEP)
            with pytest.raises(SessionExists):
                await start(connection, "one", "true")
            with pytest.raises(SessionRunning):
                await delete_session(connection, "one", deadline_s=D)
            with pytest.raises(SessionTakesNoInput):
                await attach(connection, "one", with_input=True)
            await signal_session(connection, "one", signal.SIGTERM, deadline_s=D)
            assert await wait_session(connection, "one") == ExitStatus(0, signal.SIGTERM)
            with pytest.raises(SessionExists):
                await start(connection, "one", "true")
            for ask in (
                signal_session(connection, "one", 15, deadline_s=D),
                open_session_input(connection, "one", end_input=False, deadline_s=D),
            ):
                with pytest.raises(SessionEnded):
                    await ask
            await ping(connection, deadline_s=D)

    play(agent_binary, body)


def test_an_old_agent_says_so(agent_of_version_1: Path) -> None:
    async def body(host: Hosts) -> None:
        async with host() as connection:
            assert await list_sessions(connection, deadline_s=D) == []
            with pytest.raises(GuestRefused, match="older banger") as refused:
                await start(connection, "one", "true")
            assert refused.value.hint == "banger vm restart NAME"

    play(agent_of_version_1, body)


def test_a_hundred_at_once(agent_binary: Path) -> None:
    """Each with input of its own, its own output and its own end."""

    async def work(connection: GuestConnection, number: int) -> None:
        name = f"s{number}"
        await start(connection, name, f"read line; echo $line {number}; exit {number}", stdin=True)
        async with await open_session_input(
            connection, name, end_input=False, deadline_s=D
        ) as given:
            assert await given.write(b"hello\n")
            await given.finish()
        assert await wait_session(connection, name) == ExitStatus(number)
        assert await output_of(connection, name) == b"hello %d\n" % number

    async def body(host: Hosts) -> None:
        async with host() as connection:
            await asyncio.gather(*(work(connection, number) for number in range(100)))
            listed = await list_sessions(connection, deadline_s=D)
            assert {each.name for each in listed} == {f"s{number}" for number in range(100)}

    play(agent_binary, body)


def test_the_oldest_ended_session_makes_room(agent_binary: Path) -> None:
    """A script that starts sessions for ever is never refused; what runs stays."""

    async def body(host: Hosts) -> None:
        async with host() as connection:
            await start(connection, "runs", SLEEP)
            for first in range(0, 520, 40):
                names = [f"s{number}" for number in range(first, first + 40)]
                spec = ExecSpec((b"true",))
                await asyncio.gather(
                    *(start_session(connection, name, spec, deadline_s=D) for name in names)
                )
                await asyncio.gather(*(wait_session(connection, name) for name in names))
            listed = [each.name for each in await list_sessions(connection, deadline_s=D)]
            assert len(listed) == 512
            assert listed[0] == "runs"
            # Those of one batch are started in any order.
            gone = {f"s{number}" for number in range(520)} - set(listed)
            assert len(gone) == 9 and gone <= {f"s{number}" for number in range(40)}

    play(agent_binary, body)


def test_a_flood_is_bounded_and_its_gap_is_told(agent_binary: Path) -> None:
    """E2: the newest 4 MiB are kept, and how much was lost before is known to the byte."""
    total = 20_000_000

    async def body(host: Hosts) -> None:
        async with host() as connection:
            await start(connection, "flood", f"seq -w 99999999 | head -c {total}")
            await wait_session(connection, "flood")
            session = await get_session(connection, "flood", deadline_s=D)
            assert session.size == total
            assert KEPT <= session.size - session.kept_from <= KEPT + 3 * CHUNK
            async with await attach(connection, "flood") as attachment:
                data, gaps = await read_all(attachment)
            assert gaps == [session.kept_from]
            assert sum(gaps) + len(data) == total
            # Each line is 9 bytes, so a position says what must be there.
            for at in (0, 1, len(data) // 2, len(data) - 9):
                position = gaps[0] + at
                line = b"%08d\n" % (position // 9 + 1)
                assert data[at : at + 9 - position % 9] == line[position % 9 :]
            tail = await output_of(connection, "flood", position=total - 5)
            assert tail == data[-5:]

    play(agent_binary, body)


def test_many_floods_share_bounded_memory(agent_binary: Path) -> None:
    """E2: twenty-four that flood at once, whom nobody reads, stay within the pool."""

    async def body(host: Hosts) -> None:
        async with host() as connection:
            sleeper = await start(connection, "sleeper", SLEEP)
            before_kib = resident_kib(parent_of(sleeper.pid))
            names = [f"flood-{number}" for number in range(24)]
            for name in names:
                await start(connection, name, "head -c 6000000 /dev/zero; echo; echo end")
            await asyncio.gather(*(wait_session(connection, name) for name in names))
            listed = await list_sessions(connection, deadline_s=D)
            assert all(each.size == 6_000_005 for each in listed if each.name in names)
            assert sum(each.size - each.kept_from for each in listed) <= POOL
            # What comes now takes from the floods, and they keep their newest.
            await start(connection, "late", "head -c 1000000 /dev/zero")
            await wait_session(connection, "late")
            late = await get_session(connection, "late", deadline_s=D)
            assert (late.kept_from, late.size) == (0, 1_000_000)
            used_kib = resident_kib(parent_of(sleeper.pid)) - before_kib
            assert used_kib < POOL // 1024 + 2048
            for name in names:
                assert await output_of(connection, name, lines=1) == b"end\n"

    play(agent_binary, body)


def test_no_byte_is_lost_over_many_hosts(agent_binary: Path) -> None:
    """B11: whoever goes on at the position where it was cut off gets every byte once."""
    total = 3_000_000

    async def body(host: Hosts) -> None:
        data = b""
        async with host() as connection:
            script = f"seq -w 99999999 | head -c {total}"
            await start(connection, "one", f"read line; {script}", stdin=True)
            given = await open_session_input(connection, "one", end_input=True, deadline_s=D)
            await given.write(b"go\n")
            await given.finish()
        hosts = 0
        while len(data) < total:
            hosts += 1
            async with host() as connection:
                attachment = await attach(connection, "one", position=len(data))
                assert attachment.start == len(data)
                taken = 0
                while (piece := await attachment.read()) is not None:
                    assert not isinstance(piece, Gap)
                    data += piece.untrusted_data
                    taken += len(piece.untrusted_data)
                    if taken > total // 7:
                        break
        assert hosts >= 6
        numbers = b"".join(b"%08d\n" % number for number in range(1, total // 9 + 2))
        assert data == numbers[:total]

    play(agent_binary, body)


def test_a_slow_reader_loses_what_the_ring_lets_go(agent_binary: Path) -> None:
    """The program never waits for a reader; the reader is told how much it has missed."""

    async def body(host: Hosts) -> None:
        async with host() as connection:
            script = "echo first; read line; head -c 12000000 /dev/zero; echo; echo last"
            await start(connection, "one", script, stdin=True)
            async with await attach(connection, "one") as attachment:
                assert await read_until(attachment, b"first\n") == b"first\n"
                async with await open_session_input(
                    connection, "one", end_input=True, deadline_s=D
                ) as given:
                    await given.finish()
                await wait_session(connection, "one")  # which nobody has read
                data, gaps = await read_all(attachment)
            assert len(gaps) == 1
            assert len(b"first\n") + len(data) + gaps[0] == 12_000_012
            assert data.endswith(b"\nlast\n")

    play(agent_binary, body)


def test_a_hundred_mebibytes_in(agent_binary: Path) -> None:
    """H7: as fast as the session reads, whole, and held back while it does not."""
    piece = os.urandom(1024 * 1024)

    async def body(host: Hosts) -> None:
        async with host() as connection:
            await start(connection, "one", "read line; cksum", stdin=True)
            given = await open_session_input(connection, "one", end_input=True, deadline_s=D)
            await given.write(b"line\n")
            for _ in range(100):
                assert await given.write(piece)
            await given.finish()
            await wait_session(connection, "one")
            done = await run(connection, [b"cksum"], stdin=piece * 100, deadline_s=D)
            assert await output_of(connection, "one") == done.untrusted_stdout

    play(agent_binary, body)


def test_one_writes_and_many_read(agent_binary: Path) -> None:
    async def body(host: Hosts) -> None:
        async with host() as connection:
            await start(connection, "one", "while read line; do echo got $line; done", stdin=True)
            writer = await attach(connection, "one", with_input=True)
            reader = await attach(connection, "one")
            assert (await get_session(connection, "one", deadline_s=D)).readers == 2
            with pytest.raises(SessionBusy):
                await attach(connection, "one", with_input=True)
            with pytest.raises(SessionBusy):
                await open_session_input(connection, "one", end_input=False, deadline_s=D)
            await writer.write(b"a\n")
            for each in (writer, reader):
                assert await read_until(each, b"a\n") == b"got a\n"
            await writer.write_eof()  # which ends its writing, and not the session's input
            given = await open_session_input(connection, "one", end_input=False, deadline_s=D)
            await given.write(b"b\n")
            await given.finish()
            assert await read_until(reader, b"b\n") == b"got b\n"
            given = await open_session_input(connection, "one", end_input=True, deadline_s=D)
            await given.finish()
            assert await wait_session(connection, "one") == ExitStatus(0)

    play(agent_binary, body)


def test_a_terminal(agent_binary: Path) -> None:
    """Its size, its keys, its end of file; whoever attaches sets the size."""

    async def body(host: Hosts) -> None:
        script = "stty size; while read l; do stty size; echo [$l]; done; echo bye"
        async with host() as connection:
            await start(connection, "one", script, terminal=(30, 100))
            async with await attach(connection, "one", with_input=True) as attachment:
                await read_until(attachment, b"30 100")
                await attachment.resize(41, 99)
                await attachment.write(b"x\r")
                assert b"41 99" in await read_until(attachment, b"[x]")
        async with host() as connection:
            async with await attach(
                connection, "one", with_input=True, terminal=(20, 70)
            ) as attachment:
                await attachment.write(b"y\r")
                assert b"20 70" in await read_until(attachment, b"[y]")
            given = await open_session_input(connection, "one", end_input=True, deadline_s=D)
            await given.finish()
            assert await wait_session(connection, "one") == ExitStatus(0)
            assert (await output_of(connection, "one", lines=1)) == b"bye\r\n"

    play(agent_binary, body)


def test_lines_and_times(agent_binary: Path) -> None:
    async def body(host: Hosts) -> None:
        async with host() as connection:
            await start(connection, "one", "seq 5; read l; printf end", stdin=True)

            async def has_said_all() -> bool:
                return (await get_session(connection, "one", deadline_s=D)).size == 10

            await wait_for(has_said_all)
            assert await output_of(connection, "one", lines=2) == b"4\n5\n"
            later_ns = time.time_ns() + 3_000_000_000
            assert await output_of(connection, "one", since_ns=later_ns) == b""
            assert await output_of(connection, "one", since_ns=0) == b"1\n2\n3\n4\n5\n"
            given = await open_session_input(connection, "one", end_input=True, deadline_s=D)
            await given.finish()
            await wait_session(connection, "one")
            expected = {0: b"", 1: b"end", 3: b"4\n5\nend", 6: b"1\n2\n3\n4\n5\nend"}
            for lines, text in expected.items():
                assert await output_of(connection, "one", lines=lines) == text
            assert await output_of(connection, "one", lines=10**19) == expected[6]
            assert await output_of(connection, "one", position=10**19) == b""

    play(agent_binary, body)


def test_waiters_and_readers_of_a_deleted_session_wake(agent_binary: Path) -> None:
    """H2"""

    async def body(host: Hosts) -> None:
        async with host() as connection:
            await start(connection, "one", SLEEP)
            waiting = asyncio.create_task(wait_session(connection, "one"))
            reader = await attach(connection, "one")
            reading = asyncio.create_task(read_all(reader))
            await signal_session(connection, "one", signal.SIGKILL, deadline_s=D)
            assert await waiting == ExitStatus(0, signal.SIGKILL)
            assert await reading == (b"", [])
            assert await reader.wait() == ExitStatus(0, signal.SIGKILL)
            await delete_session(connection, "one", deadline_s=D)

    play(agent_binary, body)


def test_what_a_session_leaves_behind_may_write_on(agent_binary: Path) -> None:
    """The session ends with its program; a child that has its output is neither hurt nor lost."""

    async def body(host: Hosts) -> None:
        async with host() as connection:
            script = "(sleep 0.3; echo late; sleep 0.1; echo later) & echo first; exit 3"
            await start(connection, "one", script)
            async with await attach(connection, "one") as attachment:
                data, _ = await read_all(attachment)
                assert await attachment.wait() == ExitStatus(3)
            assert data.startswith(b"first\n")

            async def has_all() -> bool:
                return await output_of(connection, "one") == b"first\nlate\nlater\n"

            await wait_for(has_all)

    play(agent_binary, body)


def test_no_descriptor_of_the_agent_is_left(agent_binary: Path) -> None:
    async def work(agent: RunningAgent) -> None:
        connection = await connect(agent.socket.dup(), deadline_s=D)
        counts = []
        for number in (0, 30, 30):
            for each in range(number):
                await start(connection, f"s{each}", "cat", stdin=True)
                given = await open_session_input(
                    connection, f"s{each}", end_input=True, deadline_s=D
                )
                await given.write(b"x")
                await given.finish()
                async with await attach(connection, f"s{each}") as attachment:
                    assert await read_all(attachment) == (b"x", [])
                await delete_session(connection, f"s{each}", deadline_s=D)
            await ping(connection, deadline_s=D)
            counts.append(len(os.listdir(f"/proc/{agent.process.pid}/fd")))
        await connection.close()
        assert counts == counts[:1] * 3

    with running_agent(agent_binary) as agent:
        asyncio.run(work(agent))
