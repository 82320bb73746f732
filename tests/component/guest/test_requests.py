"""The verbs against an agent that behaves: what is sent, what comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from banger.errors import ExecNotExecutable, ExecNotFound, GuestPathNotFound, GuestRefused
from banger.guest import (
    AgentState,
    BootSpec,
    ExecSpec,
    GuestConnection,
    GuestFile,
    Identity,
    Interface,
    boot,
    connect_tcp,
    identify,
    ping,
    poweroff,
    run,
    start_exec,
    stat,
    sync,
    tar_in,
    tar_out,
    watch_listeners,
)
from banger.guest.codec import Feature, FrameType, Kind
from banger.guest.fields import Tag, encode_fields, parse_fields, u64
from tests.component.guest.scripted import (
    HELLO_FIELDS,
    Agent,
    frame,
    hello,
    play,
    refusal,
    result,
)

IPV6 = encode_fields([(Tag.STREAMS, u64(64)), (Tag.FEATURES, u64(Feature.ADDRESS6))])
INTERFACE = Interface(
    address="10.0.2.15", prefix=24, gateway="10.0.2.2", address6="fd62:616e:6765:7200::a00:20f"
)


async def answer_all(agent: Agent, *kinds: Kind) -> None:
    """Greet, then answer each request of these kinds with an empty RESULT."""
    await agent.greet()
    for kind in kinds:
        heard = await agent.hear(FrameType.OPEN)
        assert heard.payload[0] == kind
        agent.say(result(heard.stream))


def test_the_hello_says_who_answers() -> None:
    async def body(connection: GuestConnection) -> None:
        assert connection.hello.agent_version == "scripted"
        assert connection.hello.state is AgentState.BOOTED
        assert connection.hello.arch == "x86_64"
        assert not connection.closed

    play(Agent.greet, body)


def test_small_requests() -> None:
    async def script(agent: Agent) -> None:
        await answer_all(agent, Kind.PING, Kind.SYNC, Kind.POWEROFF)

    async def body(connection: GuestConnection) -> None:
        await ping(connection, deadline_s=5)
        await sync(connection, deadline_s=5)
        await poweroff(connection, now=True, deadline_s=5)

    play(script, body)


def test_boot_sends_everything_in_order() -> None:
    async def script(agent: Agent) -> None:
        agent.say(hello(await agent.hear_hello(), version=2, fields=HELLO_FIELDS + IPV6))
        heard = await agent.hear(FrameType.OPEN)
        assert heard.payload[0] == Kind.BOOT
        fields = parse_fields(heard.payload[1:])
        assert fields.text(Tag.ROOT) == "/dev/vda"
        assert fields.text(Tag.DATA) == "serial:data"
        assert fields.text(Tag.MODULES) == "serial:modules"
        assert fields.bytes(Tag.INIT) == b"/sbin/init"
        assert fields.all(Tag.NATIVE) == (b"/root", b"/home")
        assert fields.text(Tag.HOSTNAME) == "calm-otter"
        assert fields.i64(Tag.CLOCK_NS) == -5
        assert fields.bytes(Tag.ENTROPY) == b"\0" * 32
        file = parse_fields(fields.bytes(Tag.FILE))
        assert file.bytes(Tag.CONTENT) == b"\0x"
        assert file.u64(Tag.MODE) == 0o600
        interface = parse_fields(fields.bytes(Tag.INTERFACE))
        assert interface.text(Tag.ADDRESS) == "10.0.2.15"
        assert interface.text(Tag.ADDRESS6) == INTERFACE.address6
        assert interface.find(Tag.MAC) is None
        agent.say(result(heard.stream))
        await answer_all_more(agent)

    async def answer_all_more(agent: Agent) -> None:
        heard = await agent.hear(FrameType.OPEN)
        assert heard.payload == bytes([Kind.IDENTITY])
        agent.say(result(heard.stream))

    async def body(connection: GuestConnection) -> None:
        identity = Identity(
            hostname="calm-otter",
            clock_ns=-5,
            entropy=bytes(32),
            files=(GuestFile(b"/etc/x", b"\0x", mode=0o600),),
            interface=INTERFACE,
        )
        spec = BootSpec(
            "/dev/vda",
            "serial:data",
            "serial:modules",
            b"/sbin/init",
            native=(b"/root", b"/home"),
            identity=identity,
        )
        await boot(connection, spec, deadline_s=5)
        await identify(connection, Identity(), deadline_s=5)

    play(script, body)


def test_an_older_agent_is_given_no_field_that_it_does_not_know() -> None:
    """B11: it may be in the memory of a VM or of a snapshot."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        heard = await agent.hear(FrameType.OPEN)
        interface = parse_fields(parse_fields(heard.payload[1:]).bytes(Tag.INTERFACE))
        assert interface.text(Tag.ADDRESS) == INTERFACE.address
        assert interface.find(Tag.ADDRESS6) is None
        agent.say(result(heard.stream))

    async def body(connection: GuestConnection) -> None:
        await identify(connection, Identity(interface=INTERFACE), deadline_s=5)

    play(script, body)


def test_exec_carries_data_both_ways_and_its_status() -> None:
    """H7: bytes, both outputs, stdin with an end. H1: the status verbatim."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        heard = await agent.hear(FrameType.OPEN)
        fields = parse_fields(heard.payload[1:])
        assert fields.all(Tag.ARG) == (b"cat", b"\xff")
        assert fields.all(Tag.ENV) == (b"A=b=c",)
        assert fields.u64(Tag.FLAGS) == 3
        assert (fields.u64(Tag.ROWS), fields.u64(Tag.COLUMNS)) == (24, 80)
        agent.say(frame(FrameType.EVENT, 1, encode_fields([(Tag.PID, u64(77))])))
        assert (await agent.hear(FrameType.DATA)).payload == b"in"
        await agent.hear(FrameType.EOF)
        resized = parse_fields((await agent.hear(FrameType.CONTROL)).payload)
        assert resized.u64(Tag.ROWS) == 50
        assert parse_fields((await agent.hear(FrameType.CONTROL)).payload).u64(Tag.SIGNAL) == 2
        agent.say(frame(FrameType.DATA, 1, b"out", channel=1))
        agent.say(frame(FrameType.DATA, 1, b"err", channel=2))
        agent.say(result(1, (Tag.SIGNAL, u64(2))))

    async def body(connection: GuestConnection) -> None:
        spec = ExecSpec((b"cat", b"\xff"), env=((b"A", b"b=c"),), terminal=(24, 80), stdin=True)
        async with await start_exec(connection, spec, deadline_s=5) as process:
            assert process.pid == 77
            assert await process.write(b"in")
            await process.write_eof()
            await process.resize(50, 100)
            await process.signal(2)
            assert [each async for each in process.output()] == [(1, b"out"), (2, b"err")]
            status = await process.wait()
            assert (status.signal, status.shell_status) == (2, 130)
            assert not await process.write(b"late")

    play(script, body)


@pytest.mark.parametrize(
    ("code", "error", "exit_code"),
    [
        (b"not-found", ExecNotFound, 127),
        (b"not-executable", ExecNotExecutable, 126),
        (b"made-up", GuestRefused, 1),
    ],
)
def test_exec_errors_keep_the_agents_code(
    code: bytes, error: type[GuestRefused], exit_code: int
) -> None:
    """H1: an error of ours never looks like the command's status. E3: no escapes in messages."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(refusal(1, code, b"bad \x1b[2J thing\xff"))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(error) as caught:
            await run(connection, [b"nope"], deadline_s=5)
        assert caught.value.guest_code == code.decode()
        assert caught.value.exit_code == exit_code
        assert "\x1b" not in caught.value.message
        assert "nope" in caught.value.message

    play(script, body)


def test_an_older_agent_starts_programs_without_the_modes_of_their_terminals() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        first = await agent.hear(FrameType.OPEN)
        fields = parse_fields(first.payload[1:])
        assert fields.bytes(Tag.MODES) == b"\x35\0\0\0\0\x48\x01\0\0\0"
        agent.say(refusal(first.stream, b"bad-request", b"field 30 does not belong there"))
        second = await agent.hear(FrameType.OPEN)
        fields = parse_fields(second.payload[1:])
        assert (fields.find(Tag.MODES), fields.u64(Tag.ROWS)) == (None, 24)
        agent.say(frame(FrameType.EVENT, second.stream, encode_fields([(Tag.PID, u64(7))])))
        agent.say(result(second.stream, (Tag.STATUS, u64(3))))

    async def body(connection: GuestConnection) -> None:
        spec = ExecSpec((b"sh",), terminal=(24, 80), modes=((53, 0), (72, 1)))
        process = await start_exec(connection, spec, deadline_s=20)
        assert (await process.wait()).status == 3

    play(script, body)


def test_tar_in_sends_the_chunks_and_an_end() -> None:
    sent = [b"a" * 512, b"", b"b" * 300_000, b"c"]

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in sent:
            yield chunk

    async def script(agent: Agent) -> None:
        await agent.greet()
        fields = parse_fields((await agent.hear(FrameType.OPEN)).payload[1:])
        assert fields.u64(Tag.FLAGS) == 1
        assert (fields.u64(Tag.UID), fields.u64(Tag.GID)) == (1, 2)
        got = b""
        while (heard := await agent.hear(FrameType.DATA, FrameType.EOF)).type == FrameType.DATA:
            got += heard.payload
            credit = len(heard.payload).to_bytes(4, "little")
            agent.say(frame(FrameType.CREDIT, 1, credit))
        assert got == b"".join(sent)
        agent.say(result(1, (Tag.ENTRIES, u64(3)), (Tag.BYTES, u64(len(got)))))

    async def body(connection: GuestConnection) -> None:
        done = await tar_in(
            connection, b"/x", chunks(), empty_first=True, owner=(1, 2), deadline_s=5
        )
        assert (done.entries, done.bytes) == (3, 300_513)

    play(script, body)


def test_tar_in_stops_when_the_agent_refuses() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        await agent.hear(FrameType.DATA)
        agent.say(refusal(1, b"bad-archive"))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(GuestRefused) as caught:
            await tar_in(connection, b"/x", endless(), deadline_s=5)
        assert caught.value.guest_code == "bad-archive"

    play(script, body)


def test_tar_out_ends_only_with_the_result() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        for stream in (1, 2):
            heard = await agent.hear(FrameType.OPEN)
            assert parse_fields(heard.payload[1:]).all(Tag.NAME) == (b"a", b"b")
            agent.say(frame(FrameType.DATA, stream, b"tar", channel=1))
            agent.say(frame(FrameType.EOF, stream, channel=1))
        agent.say(result(1, (Tag.ENTRIES, u64(1)), (Tag.BYTES, u64(3))))
        agent.say(refusal(2, b"io", b"read error"))

    async def body(connection: GuestConnection) -> None:
        first = tar_out(connection, b"/x", (b"a", b"b"), deadline_s=5)
        second = tar_out(connection, b"/x", (b"a", b"b"), deadline_s=5)
        async with first as good, second as bad:
            assert [each async for each in good] == [b"tar"]
            assert await anext(bad) == b"tar"
            with pytest.raises(GuestRefused, match="read error"):
                await anext(bad)

    play(script, body)


def test_an_archive_without_a_result_is_not_whole() -> None:
    """E2: EOF alone proves nothing; the guest may have died, or failed, right after it."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(frame(FrameType.EOF, 1, channel=1))
        await agent.hear(FrameType.OPEN)
        agent.say(refusal(1, b"io") + result(2))

    async def body(connection: GuestConnection) -> None:
        async with tar_out(connection, b"/x", deadline_s=5) as chunks:
            rest = asyncio.ensure_future(anext(chunks))
            await asyncio.wait([rest], timeout=0.1)
            assert not rest.done()
            await ping(connection, deadline_s=5)
            with pytest.raises(GuestRefused):
                await rest

    play(script, body)


def test_stat() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        numbers = [(tag, u64(5)) for tag in (Tag.MODE, Tag.SIZE, Tag.MTIME_NS, Tag.UID, Tag.GID)]
        agent.say(result(1, *numbers))
        await agent.hear(FrameType.OPEN)
        agent.say(refusal(2, b"not-found"))

    async def body(connection: GuestConnection) -> None:
        found = await stat(connection, b"/etc", deadline_s=5)
        assert (found.mode, found.size, found.untrusted_target) == (5, 5, None)
        with pytest.raises(GuestPathNotFound):
            await stat(connection, b"/nope", deadline_s=5)

    play(script, body)


def test_tcp_both_ways() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        fields = parse_fields((await agent.hear(FrameType.OPEN)).payload[1:])
        assert (fields.text(Tag.HOST), fields.u64(Tag.PORT)) == ("127.0.0.1", 80)
        agent.say(frame(FrameType.EVENT, 1))
        assert (await agent.hear(FrameType.DATA)).payload == b"ask"
        await agent.hear(FrameType.EOF)
        agent.say(frame(FrameType.DATA, 1, b"answer", channel=1))
        agent.say(frame(FrameType.EOF, 1, channel=1) + result(1))

    async def body(connection: GuestConnection) -> None:
        async with await connect_tcp(connection, "127.0.0.1", 80, deadline_s=5) as tcp:
            assert await tcp.write(b"ask")
            await tcp.write_eof()
            assert [await tcp.read(), await tcp.read()] == [b"answer", b""]

    play(script, body)


def test_listeners_come_whole_and_the_newest_counts() -> None:
    def event(*ports: int) -> bytes:
        each = [encode_fields([(Tag.HOST, b"0.0.0.0"), (Tag.PORT, u64(port))]) for port in ports]
        return frame(FrameType.EVENT, 1, encode_fields([(Tag.LISTENER, one) for one in each]))

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(event())
        await agent.hear(FrameType.OPEN)  # the ping below: the first set was read
        agent.say(event(80) + event(80, 81) + result(2))
        await agent.hear(FrameType.CLOSE)
        agent.say(result(1))

    async def body(connection: GuestConnection) -> None:
        async with contextlib.aclosing(watch_listeners(connection)) as sets:
            assert await anext(sets) == frozenset()
            await ping(connection, deadline_s=5)
            assert await anext(sets) == {("0.0.0.0", 80), ("0.0.0.0", 81)}

    play(script, body)


def test_requests_run_side_by_side() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        heard = [await agent.hear(FrameType.OPEN) for _ in range(8)]
        for each in reversed(heard):
            agent.say(result(each.stream))

    async def body(connection: GuestConnection) -> None:
        await asyncio.gather(*(ping(connection, deadline_s=5) for _ in range(8)))

    play(script, body)
