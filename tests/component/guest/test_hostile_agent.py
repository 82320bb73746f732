"""E2: a guest that floods, stalls, lies, breaks frames, or closes at any byte.

What must be true each time: bounded memory, one typed error, and only the
connection to that guest ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest

from banger.errors import (
    BangerError,
    DeadlineExceeded,
    GuestGone,
    GuestOutputTooBig,
    GuestProtocolError,
    GuestRefused,
)
from banger.guest import (
    ExecSpec,
    GuestConnection,
    connect,
    ping,
    run,
    start_exec,
)
from banger.guest.codec import MAX_PAYLOAD, FrameType
from banger.guest.fields import Tag, encode_fields, u64
from banger.guest.flow_control import WINDOW
from tests.component.guest.scripted import (
    HELLO_FIELDS,
    PATIENCE_S,
    Agent,
    frame,
    hello,
    play,
    result,
    scripted,
)

STARTED = frame(FrameType.EVENT, 1, encode_fields([(Tag.PID, u64(7))]))
EXCHANGE = b"".join(
    (
        STARTED,
        frame(FrameType.CREDIT, 1, b"\x00\x80\x00\x00"),
        frame(FrameType.DATA, 1, b"out", channel=1),
        frame(FrameType.DATA, 1, b"err", channel=2),
        frame(FrameType.EOF, 1, channel=2),
        result(1, (Tag.STATUS, u64(3))),
    )
)


async def run_true(connection: GuestConnection) -> None:
    done = await run(connection, [b"x"], stdin=b"i", deadline_s=5)
    assert (done.status, done.untrusted_stdout, done.untrusted_stderr) == (3, b"out", b"err")


async def start_and_wait(connection: GuestConnection) -> None:
    process = await start_exec(connection, ExecSpec((b"x",)), deadline_s=5)
    await process.wait()


def after_hello(data: bytes) -> Callable[[Agent], Awaitable[None]]:
    """A script: greet, hear one request, say `data`, hang up when the host has."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(data)
        await agent.reader.read()
        await agent.hang_up()

    return script


def cut_hello(length: int, nonce: bytes) -> bytes:
    return hello(nonce)[:length]


async def meet(answer: Callable[[bytes], bytes]) -> None:
    """Run a command against an agent that says `answer(nonce)` whatever it hears, then closes."""

    async def script(agent: Agent) -> None:
        agent.say(answer(await agent.hear_hello()))
        # Half-closed, not closed: a reset would overtake what was said.
        agent.writer.write_eof()
        await agent.reader.read()

    async with asyncio.timeout(PATIENCE_S), scripted(script) as ours:
        connection = await connect(ours, deadline_s=5)
        try:
            # The answers may be there already, and belong to stream 1.
            await run_true(connection)
        finally:
            await connection.close()


def test_closing_at_any_byte_is_guest_gone() -> None:
    """E2: from the first byte of the HELLO to the last of the RESULT."""

    async def all_cuts() -> None:
        length = len(hello(bytes(16)))
        for cut in range(length):
            with pytest.raises(GuestGone):
                await meet(functools.partial(cut_hello, cut))
        for cut in range(len(EXCHANGE)):
            await cut_exchange(cut)

    async def cut_exchange(cut: int) -> None:
        async def script(agent: Agent) -> None:
            await agent.greet()
            await agent.hear(FrameType.OPEN)
            agent.say(EXCHANGE[:cut])
            agent.writer.write_eof()
            await agent.reader.read()

        async with asyncio.timeout(PATIENCE_S), scripted(script) as ours:
            connection = await connect(ours, deadline_s=5)
            with pytest.raises(GuestGone):
                await run_true(connection)
            assert connection.closed
            await connection.close()

    asyncio.run(all_cuts())


def test_the_whole_exchange_works() -> None:
    """The control for the cuts and mutations: unharmed, it is a command that ends with 3."""
    play(after_hello(EXCHANGE), run_true)


def test_mutated_exchanges_end_in_a_typed_error_or_an_answer() -> None:
    """E2: any byte wrong, anywhere."""
    rng = random.Random(7)

    async def one(mutated: bytes) -> None:
        async def script(agent: Agent) -> None:
            await agent.greet()
            await agent.hear(FrameType.OPEN)
            agent.say(mutated)
            agent.writer.write_eof()
            await agent.reader.read()

        async with asyncio.timeout(PATIENCE_S), scripted(script) as ours:
            connection = await connect(ours, deadline_s=5)
            with contextlib.suppress(GuestGone, GuestProtocolError, GuestRefused):
                done = await run(connection, [b"x"], stdin=b"i", deadline_s=5)
                assert done.status <= 255
            await connection.close()

    async def all_of_them() -> None:
        for at in range(len(EXCHANGE)):
            mutated = bytearray(EXCHANGE)
            mutated[at] ^= rng.randrange(1, 256)
            await one(bytes(mutated))

    asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (frame(FrameType.DATA, 2, b"x", channel=1), "stream 2"),
        (frame(FrameType.RESULT, 0), "stream 0"),
        (frame(FrameType.DATA, 1, b"x", channel=0), "channel 0"),
        (frame(FrameType.DATA, 1, b"x", channel=3), "channel 3"),
        (frame(FrameType.EOF, 1, channel=1) * 2, "channel 1"),
        (frame(FrameType.CREDIT, 1, b"\1\0\0\0", channel=1), "takes none"),
        (frame(FrameType.CREDIT, 1, b"\1"), "4 bytes"),
        (frame(FrameType.OPEN, 1, b"\1"), "only the host"),
        (frame(FrameType.CLOSE, 1), "only the host"),
        (frame(FrameType.HELLO, 0), "stream 0"),
        (STARTED * 200, "not asked for"),
        (frame(FrameType.EVENT, 1, b"\1"), "cut off"),
        (frame(FrameType.EVENT, 1), "no field PID"),
        (frame(FrameType.ERROR, 1), "no field CODE"),
        (STARTED + frame(FrameType.RESULT, 1), "no field STATUS"),
        (result(1, (Tag.STATUS, u64(0))), "ended before it began"),
        (STARTED + result(1, (Tag.STATUS, u64(256))), "out of range"),
        (STARTED + result(1, (Tag.SIGNAL, u64(65))), "out of range"),
        (STARTED + frame(FrameType.DATA, 1, bytes(MAX_PAYLOAD), channel=1) * 9, "more data"),
        (STARTED[:-1] + b"\0", "end byte"),
        (b"\0" * 12, "unknown type"),
    ],
)
def test_what_the_protocol_does_not_allow(said: bytes, why: str) -> None:
    """E2: wrong streams and channels, frames out of place, floods: the sentence says what."""

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(GuestProtocolError, match=why):
            await start_and_wait(connection)
        await connection.close()

    play(after_hello(said), body)


def test_a_frame_after_the_last_one_breaks_the_connection() -> None:
    async def body(connection: GuestConnection) -> None:
        await ping(connection, deadline_s=5)
        await connection.wait_closed()
        with pytest.raises(GuestProtocolError, match="stream 1"):
            await ping(connection, deadline_s=5)

    play(after_hello(result(1) + result(1)), body)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda nonce: hello(bytes(16)), GuestGone),
        (lambda nonce: b"garbage" * 1000, GuestGone),
        (lambda nonce: hello(nonce, version=0), GuestProtocolError),
        (lambda nonce: hello(nonce, fields=b""), GuestProtocolError),
        (lambda nonce: hello(nonce, fields=b"\1"), GuestProtocolError),
        (lambda nonce: hello(nonce, fields=HELLO_FIELDS.replace(b"booted", b"boated")), None),
        (lambda nonce: hello(nonce)[:-1] + b"\0", GuestProtocolError),
        (lambda nonce: bytes(17 << 20), GuestProtocolError),
    ],
)
def test_a_wrong_hello(answer: Callable[[bytes], bytes], error: type[BangerError] | None) -> None:
    """E2: wrong nonce, wrong version, no fields, endless rubbish."""
    with pytest.raises(error or GuestProtocolError):
        asyncio.run(meet(answer))


def test_what_an_earlier_connection_left_is_skipped() -> None:
    """D3: a clone sends what was under way when its template was made."""

    async def script(agent: Agent) -> None:
        nonce = await agent.hear_hello()
        stale = frame(FrameType.DATA, 9, bytes(5000), channel=1) + hello(b"o" * 16)
        agent.say(stale[100:] + hello(nonce)[:30] + hello(nonce))
        await agent.hear(FrameType.OPEN)
        agent.say(result(1))

    async def body(connection: GuestConnection) -> None:
        await ping(connection, deadline_s=5)

    play(script, body)


def test_no_hello_ends_at_the_deadline() -> None:
    """H9: the deadline says which one it was."""

    async def script(agent: Agent) -> None:
        await agent.hear_hello()
        assert await agent.reader.read() == b""

    async def body(connection: GuestConnection) -> None:
        raise AssertionError("connected")

    with pytest.raises(DeadlineExceeded, match="HELLO"):
        play(script, body, deadline_s=0.2)


def test_the_other_connections_go_on() -> None:
    """E2: that VM only."""

    async def good(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(result(1))

    async def both() -> None:
        async with scripted(after_hello(b"\xff" * 12)) as bad_end, scripted(good) as good_end:
            bad = await connect(bad_end, deadline_s=5)
            other = await connect(good_end, deadline_s=5)
            with pytest.raises(GuestProtocolError):
                await ping(bad, deadline_s=5)
            await ping(other, deadline_s=5)
            await bad.close()
            await other.close()

    asyncio.run(both())


def test_endless_output_is_cut_and_the_command_killed() -> None:
    """H7, E2: `run` keeps no more than its limit."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(STARTED)
        credit = WINDOW
        while True:
            while credit >= MAX_PAYLOAD:
                agent.say(frame(FrameType.DATA, 1, bytes(MAX_PAYLOAD), channel=1))
                credit -= MAX_PAYLOAD
            heard = await agent.hear(FrameType.CREDIT, FrameType.CLOSE)
            if heard.type == FrameType.CLOSE:
                break
            credit += int.from_bytes(heard.payload, "little")
        agent.say(frame(FrameType.DATA, 1, b"late", channel=1) + result(1, (Tag.SIGNAL, u64(9))))
        await agent.hear(FrameType.OPEN)
        agent.say(result(2))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(GuestOutputTooBig, match="1000000 bytes"):
            await run(connection, [b"yes"], output_limit=1_000_000, deadline_s=10)
        await ping(connection, deadline_s=5)

    play(script, body)


def test_a_guest_that_does_not_read_is_cut_off() -> None:
    """E2: what we hold for it is bounded, data and small frames alike."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        # More credit than it will ever take, and from here on it reads nothing.
        agent.writer.transport.pause_reading()  # type: ignore[attr-defined]
        agent.say(STARTED + frame(FrameType.CREDIT, 1, b"\xff\xff\xff\xff"))

    async def body(connection: GuestConnection) -> None:
        process = await start_exec(connection, ExecSpec((b"x",), stdin=True), deadline_s=5)
        tracemalloc.start()
        try:
            writer = asyncio.create_task(process.write(bytes(64 << 20)))
            done, _ = await asyncio.wait([writer], timeout=0.3)
            assert not done
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # The 64 MiB of the test and at most a few batches of ours.
        assert peak < (64 + 4) << 20
        with pytest.raises(DeadlineExceeded):
            await ping(connection, deadline_s=0.2)
        connection.fail(GuestGone("The VMM died."))
        with pytest.raises(GuestGone, match="VMM died"):
            await writer

    play(script, body)


def test_small_frames_for_a_guest_that_does_not_read_are_bounded_too() -> None:
    """E2: grants and CLOSE wait for nobody, so there is a limit on what is held of them."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        agent.writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def body(connection: GuestConnection) -> None:
        def send_for_ever() -> None:
            while True:
                connection._link.send(bytes(17 * 1000))

        with pytest.raises(GuestProtocolError, match="has stopped reading"):
            send_for_ever()
        assert connection.closed

    play(script, body)
