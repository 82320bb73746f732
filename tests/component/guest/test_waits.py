"""Deadlines, cancellation, slow readers, and the death of the VMM (H2, H3, E2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from banger.errors import (
    DeadlineExceeded,
    GuestGone,
    GuestProtocolError,
    GuestRefused,
    VmmFailed,
)
from banger.guest import (
    ExecSpec,
    GuestConnection,
    GuestProcess,
    connect_tcp,
    ping,
    run,
    start_exec,
    stat,
    sync,
    tar_in,
    tar_out,
    watch_listeners,
)
from banger.guest import exec as guest_exec
from banger.guest.admission import Lane, plan_shares
from banger.guest.codec import MAX_PAYLOAD, FrameType, Kind
from banger.guest.fields import Tag, encode_fields, u64
from banger.guest.flow_control import FIRST_WINDOW, WINDOW
from tests.component.guest.scripted import (
    HELLO_FIELDS,
    Agent,
    frame,
    hello,
    play,
    refusal,
    result,
)

STREAMS_128 = encode_fields([(Tag.STREAMS, u64(128))])


def started(stream: int) -> bytes:
    return frame(FrameType.EVENT, stream, encode_fields([(Tag.PID, u64(7))]))


async def silent(agent: Agent) -> None:
    """Greet, let every command start, and say nothing else until the host hangs up."""
    await agent.greet()
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            heard = await agent.hear()
            if heard.type == FrameType.OPEN and heard.payload[0] == 4:
                agent.say(started(heard.stream))


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 100_000


async def take_listeners(connection: GuestConnection) -> None:
    async with contextlib.aclosing(watch_listeners(connection)) as sets:
        await anext(sets)


async def take_tar(connection: GuestConnection) -> None:
    async with tar_out(connection, b"/x", deadline_s=60) as chunks:
        await anext(chunks)


async def write_for_ever(connection: GuestConnection) -> None:
    process = await start_exec(connection, ExecSpec((b"x",), stdin=True), deadline_s=5)
    while True:
        assert await process.write(bytes(50_000))


async def wait_for_exit(connection: GuestConnection) -> None:
    process = await start_exec(connection, ExecSpec((b"x",)), deadline_s=5)
    await process.wait()


async def read_output(connection: GuestConnection) -> None:
    process = await start_exec(connection, ExecSpec((b"x",)), deadline_s=5)
    async for _ in process.output():
        pass


WAITS: dict[str, Callable[[GuestConnection], Coroutine[Any, Any, object]]] = {
    "ping": lambda c: ping(c, deadline_s=60),
    "stat": lambda c: stat(c, b"/x", deadline_s=60),
    "run": lambda c: run(c, [b"x"], stdin=bytes(1 << 20), deadline_s=60),
    "tcp": lambda c: connect_tcp(c, "127.0.0.1", 80, deadline_s=60),
    "tar in": lambda c: tar_in(c, b"/x", endless(), deadline_s=60),
    "tar out": take_tar,
    "listeners": take_listeners,
    "write": write_for_ever,
    "wait": wait_for_exit,
    "output": read_output,
}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing in the product signals it
            await asyncio.sleep(0.002)


def test_the_death_of_the_vmm_wakes_every_waiter() -> None:
    """H2: each gets the owner's error, at once; and so does whoever comes later."""

    async def body(connection: GuestConnection) -> None:
        tasks = {name: asyncio.create_task(make(connection)) for name, make in WAITS.items()}
        await until(lambda: len(connection._streams) == len(WAITS))
        await ping_is_silent(connection)
        assert not any(task.done() for task in tasks.values())
        connection.fail(VmmFailed("QEMU of calm-otter was killed."))
        await asyncio.wait(tasks.values(), timeout=5)
        for name, task in tasks.items():
            assert task.done(), name
            error = task.exception()
            assert isinstance(error, VmmFailed), name
            assert error.message == "QEMU of calm-otter was killed."
        assert connection.closed
        await connection.wait_closed()
        with pytest.raises(VmmFailed):
            await ping(connection, deadline_s=5)

    async def ping_is_silent(connection: GuestConnection) -> None:
        with pytest.raises(DeadlineExceeded):
            await ping(connection, deadline_s=0.1)

    play(silent, body)


def test_the_agents_end_wakes_every_waiter() -> None:
    """H2: the socket closes, as it does when QEMU is killed."""

    async def body(connection: GuestConnection) -> None:
        tasks = [asyncio.create_task(make(connection)) for make in WAITS.values()]
        done, _ = await asyncio.wait(tasks, timeout=10)
        assert len(done) == len(tasks)
        assert {type(task.exception()) for task in done} == {GuestGone}

    async def script(agent: Agent) -> None:
        await agent.greet()
        opened = 0
        while opened < len(WAITS):
            opened += (await agent.hear()).type == FrameType.OPEN
        await agent.hang_up()

    play(script, body)


@pytest.mark.parametrize("name", WAITS)
def test_cancellation_closes_the_stream_and_no_other(name: str) -> None:
    """C5, H3: CLOSE is sent for the stream that was waited on; the connection is usable."""
    closed: list[int] = []

    async def script(agent: Agent) -> None:
        await agent.greet()
        while (heard := await agent.hear()).type != FrameType.CLOSE:
            if heard.type == FrameType.OPEN and heard.payload[0] == 4:
                agent.say(started(heard.stream))
        closed.append(heard.stream)
        agent.say(refusal(heard.stream, b"closed"))
        while (heard := await agent.hear()).type != FrameType.OPEN:
            pass
        assert heard.payload == b"\1"
        agent.say(result(heard.stream))

    async def body(connection: GuestConnection) -> None:
        task = asyncio.create_task(WAITS[name](connection))
        await until(lambda: bool(connection._streams))
        # Let it get as far as it can: the agent answers nothing more.
        done, _ = await asyncio.wait([task], timeout=0.1)
        assert not done
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await ping(connection, deadline_s=5)
        assert closed == [1]
        assert connection._streams == {}

    play(script, body)


def test_a_deadline_gives_the_request_up_and_names_it() -> None:
    """H9, H3: and a late answer harms nobody."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        await agent.hear(FrameType.CLOSE)
        await agent.hear(FrameType.OPEN)
        agent.say(result(1) + result(2))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(DeadlineExceeded, match=r"Looking at /x of the guest .* 0\.1 s"):
            await stat(connection, b"/x", deadline_s=0.1)
        await ping(connection, deadline_s=5)

    play(script, body)


def test_run_kills_at_its_deadline() -> None:
    """H3: the process group is killed, and the error waits for the agent's word."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(started(1))
        await agent.hear(FrameType.CLOSE)
        agent.say(result(1, (Tag.SIGNAL, u64(9))))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(DeadlineExceeded, match="Running sleep") as caught:
            await run(connection, [b"sleep", b"9"], deadline_s=0.2)
        assert caught.value.details is None
        assert connection._streams == {}

    play(script, body)


def test_run_says_when_the_kill_was_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_exec, "KILL_GRACE_S", 0.1)

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(DeadlineExceeded) as caught:
            await run(connection, [b"sleep", b"9"], deadline_s=0.2)
        assert "not confirm" in str(caught.value.details)

    play(silent, body)


def test_close_kills_once_and_is_idempotent() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(started(1))
        await agent.hear(FrameType.CLOSE)
        agent.say(result(1, (Tag.SIGNAL, u64(9))))
        assert (await agent.hear()).type == FrameType.OPEN
        agent.say(result(2))

    async def body(connection: GuestConnection) -> None:
        process = await start_exec(connection, ExecSpec((b"x",)), deadline_s=5)
        assert await process.close()
        assert await process.close()
        assert (await process.wait()).shell_status == 137
        await ping(connection, deadline_s=5)

    play(script, body)


def test_a_slow_reader_stops_its_own_stream_only() -> None:
    """E2: credit is granted as output is consumed; other streams go on meanwhile."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(started(1))
        for _ in range(WINDOW // MAX_PAYLOAD):
            agent.say(frame(FrameType.DATA, 1, bytes(MAX_PAYLOAD), channel=1))
        # No credit before the reader reads: the next frame is the other request.
        heard = await agent.hear(FrameType.OPEN)
        agent.say(result(heard.stream))
        granted = 0
        while granted < WINDOW:
            granted += int.from_bytes((await agent.hear(FrameType.CREDIT)).payload, "little")
        agent.say(result(1, (Tag.STATUS, u64(0))))

    async def body(connection: GuestConnection) -> None:
        process = await start_exec(connection, ExecSpec((b"x",)), deadline_s=5)
        await ping(connection, deadline_s=5)
        size = 0
        async for _, data in process.output():
            size += len(data)
        assert size == WINDOW
        assert (await process.wait()).shell_status == 0

    play(script, body)


def test_writing_waits_for_credit_and_stops_at_the_end_of_the_process() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(started(1))
        got = 0
        while got < WINDOW:
            got += len((await agent.hear(FrameType.DATA)).payload)
        assert got == WINDOW
        agent.say(frame(FrameType.CREDIT, 1, (10).to_bytes(4, "little")))
        assert len((await agent.hear(FrameType.DATA)).payload) == 10
        agent.say(result(1, (Tag.STATUS, u64(0))))

    async def body(connection: GuestConnection) -> None:
        process = await start_exec(connection, ExecSpec((b"x",), stdin=True), deadline_s=5)
        assert not await process.write(bytes(WINDOW + 11))
        assert (await process.wait()).shell_status == 0

    play(script, body)


CONTROL = plan_shares(64)[Lane.CONTROL]
COMMANDS = plan_shares(64)[Lane.COMMANDS]
CONNECTIONS = plan_shares(64)[Lane.CONNECTIONS]
MORE = 5


def test_requests_beyond_the_share_wait_and_follow_in_order() -> None:
    """C5: an agent of version 1 serves 64 streams; nothing fails for want of one."""
    total = CONTROL + MORE
    asked: list[bytes] = []

    async def script(agent: Agent) -> None:
        await agent.greet()
        streams = []
        while len(asked) < CONTROL:
            heard = await agent.hear(FrameType.OPEN)
            asked.append(heard.payload[-2:])
            streams.append(heard.stream)
        for stream in streams[::-1]:
            agent.say(refusal(stream, b"io"))
            if len(asked) < total:
                asked.append((await agent.hear(FrameType.OPEN)).payload[-2:])
                agent.say(refusal(len(asked), b"io"))

    async def body(connection: GuestConnection) -> None:
        paths = [b"/%02d" % number for number in range(total)]
        asks = [stat(connection, path, deadline_s=10) for path in paths]
        ended = await asyncio.gather(*asks, return_exceptions=True)
        assert {type(each) for each in ended} == {GuestRefused}
        assert asked == [path[-2:] for path in paths]

    play(script, body)


def test_whoever_waits_can_leave() -> None:
    """C5: a wait that is cancelled takes no stream, and holds up nobody behind it."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        streams = [(await agent.hear(FrameType.OPEN)).stream for _ in range(CONTROL)]
        agent.say(result(streams[0]))
        heard = await agent.hear(FrameType.OPEN)
        assert heard.payload[0] == Kind.SYNC
        for stream in (*streams[1:], heard.stream):
            agent.say(result(stream))

    async def body(connection: GuestConnection) -> None:
        pings = [asyncio.create_task(ping(connection, deadline_s=60)) for _ in range(CONTROL)]
        impatient = asyncio.create_task(ping(connection, deadline_s=60))
        await asyncio.sleep(0)
        last = asyncio.create_task(sync(connection, deadline_s=60))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait({impatient})
        await asyncio.gather(*pings, last)

    play(script, body)


def test_a_cancelled_wait_whose_turn_has_just_come_passes_it_on() -> None:
    async def body(connection: GuestConnection) -> None:
        tickets = [await connection.admit(Lane.CONTROL) for _ in range(CONTROL)]
        impatient = asyncio.create_task(connection.admit(Lane.CONTROL))
        last = asyncio.create_task(connection.admit(Lane.CONTROL))
        await asyncio.sleep(0)
        # Its turn and the cancellation come in one turn of the loop.
        connection._leave(tickets[0])
        impatient.cancel()
        async with asyncio.timeout(5):
            assert (await last).is_admitted
        assert impatient.cancelled()

    play(silent, body)


def test_waiting_ends_with_the_connection() -> None:
    """H2: the VMM dies while requests wait for their turn."""

    async def body(connection: GuestConnection) -> None:
        tasks = [asyncio.create_task(ping(connection, deadline_s=60)) for _ in range(CONTROL + 5)]
        await until(lambda: len(connection._streams) == CONTROL)
        await connection.close()
        await asyncio.wait(tasks)
        assert {type(task.exception()) for task in tasks} == {GuestGone}

    play(silent, body)


def test_no_number_of_connections_starves_a_command_and_no_number_of_commands_the_host() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        kinds: dict[int, int] = {}
        while Kind.SYNC not in kinds:
            heard = await agent.hear(FrameType.OPEN)
            kinds[heard.payload[0]] = kinds.get(heard.payload[0], 0) + 1
            if heard.payload[0] == Kind.EXEC:
                agent.say(started(heard.stream))
            elif heard.payload[0] in (Kind.PING, Kind.SYNC):
                agent.say(result(heard.stream))
        assert kinds == {Kind.CONNECT: CONNECTIONS, Kind.EXEC: COMMANDS, Kind.PING: 1, Kind.SYNC: 1}

    async def body(connection: GuestConnection) -> None:
        connects = [
            asyncio.create_task(connect_tcp(connection, "127.0.0.1", 80, deadline_s=None))
            for _ in range(CONNECTIONS + MORE)
        ]
        await until(lambda: len(connection._streams) == CONNECTIONS)
        noted: list[int] = []
        for _ in range(COMMANDS):
            await start_exec(
                connection,
                ExecSpec((b"x",)),
                deadline_s=5,
                on_wait=noted.append,
            )
        assert noted == []
        await ping(connection, deadline_s=5)
        # The deadline is for the start, so waiting for a turn does not use it up.
        late = start_exec(
            connection,
            ExecSpec((b"x",)),
            deadline_s=0.01,
            on_wait=noted.append,
        )
        waiting = asyncio.create_task(late)
        await asyncio.wait({waiting}, timeout=0.1)
        assert not waiting.done()
        assert noted == [COMMANDS]
        await sync(connection, deadline_s=5)
        await connection.close()
        await asyncio.wait({waiting, *connects})
        assert isinstance(waiting.exception(), GuestGone)

    play(script, body)


def test_each_start_under_way_gives_the_next_one_more_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """H9: the agent starts one program after the other, so the last of a hundred waits longest."""
    monkeypatch.setattr(guest_exec, "START_EACH_S", 60)

    async def script(agent: Agent) -> None:
        await agent.greet()
        streams = [(await agent.hear(FrameType.OPEN)).stream for _ in range(3)]
        assert (await agent.hear(FrameType.CLOSE)).stream == streams[0]
        for stream in streams[1:]:
            agent.say(started(stream))
        agent.say(refusal(streams[0], b"closed"))

    async def body(connection: GuestConnection) -> None:
        starts = [start_exec(connection, ExecSpec((b"x",)), deadline_s=0.2) for _ in range(3)]
        first, *others = await asyncio.gather(*starts, return_exceptions=True)
        assert isinstance(first, DeadlineExceeded)
        assert [type(each) for each in others] == [GuestProcess] * 2
        assert connection.starts_under_way == 0

    play(script, body)


def test_an_agent_of_version_2_serves_as_many_as_it_says() -> None:
    async def script(agent: Agent) -> None:
        agent.say(hello(await agent.hear_hello(), version=2, fields=HELLO_FIELDS + STREAMS_128))
        for _ in range(plan_shares(128)[Lane.COMMANDS]):
            agent.say(started((await agent.hear(FrameType.OPEN)).stream))
        agent.say(result((await agent.hear(FrameType.OPEN)).stream))

    async def body(connection: GuestConnection) -> None:
        for _ in range(plan_shares(128)[Lane.COMMANDS]):
            await start_exec(connection, ExecSpec((b"x",)), deadline_s=5)
        await ping(connection, deadline_s=5)

    play(script, body)


def test_the_windows_of_version_2_are_small_at_first_both_ways() -> None:
    async def script(agent: Agent) -> None:
        agent.say(hello(await agent.hear_hello(), version=2, fields=HELLO_FIELDS + STREAMS_128))
        await agent.hear(FrameType.OPEN)
        agent.say(started(1))
        assert len((await agent.hear(FrameType.DATA)).payload) == FIRST_WINDOW
        agent.say(frame(FrameType.CREDIT, 1, (10).to_bytes(4, "little")))
        assert len((await agent.hear(FrameType.DATA)).payload) == 10
        for _ in range(2):
            agent.say(frame(FrameType.DATA, 1, bytes(FIRST_WINDOW), channel=1))

    async def body(connection: GuestConnection) -> None:
        process = await start_exec(connection, ExecSpec((b"x",), stdin=True), deadline_s=5)
        with pytest.raises(GuestProtocolError, match="more data"):
            await process.write(bytes(WINDOW))

    play(script, body)


def test_a_program_that_closed_its_outputs_still_gets_its_input() -> None:
    """H7: no output is not the end."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(started(1))
        agent.say(frame(FrameType.EOF, 1, channel=1) + frame(FrameType.EOF, 1, channel=2))
        got = 0
        while (heard := await agent.hear(FrameType.DATA, FrameType.EOF)).type == FrameType.DATA:
            got += len(heard.payload)
            agent.say(frame(FrameType.CREDIT, 1, len(heard.payload).to_bytes(4, "little")))
        assert got == 1 << 20
        agent.say(result(1, (Tag.STATUS, u64(0))))

    async def body(connection: GuestConnection) -> None:
        done = await run(connection, [b"x"], stdin=bytes(1 << 20), deadline_s=10)
        assert done.status == 0

    play(script, body)
