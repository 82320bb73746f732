"""The daemon's streams for programs with a loop, against a scripted daemon."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from banger.api.stream import (
    STDIN_WINDOW,
    STDOUT,
    FrameReader,
    format_control,
    format_frame,
)
from banger.client.aio import DaemonStream, call, open_stream
from banger.errors import BangerError, DaemonUnreachable, InvalidRequest, VmNotFound

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REPLY = b'{"jsonrpc":"2.0","id":1,"result":{"pid":7}}\n'


class Told:
    """What a stream has called back."""

    def __init__(self) -> None:
        self.data = b""
        self.events: list[str] = []
        self.exit: dict[str, int] = {}
        self.error: BangerError | None = None
        self.over = asyncio.Event()
        self.room = asyncio.Event()

    def output(self, channel: int, data: bytes) -> None:
        assert channel == STDOUT and not self.over.is_set()
        self.data += data

    def output_ended(self) -> None:
        self.events.append("eof")

    def may_send(self) -> None:
        self.room.set()

    def ended(self, exit_: dict[str, int], error: BangerError | None) -> None:
        assert not self.over.is_set()
        self.exit, self.error = exit_, error
        self.over.set()


def with_daemon(folder: Path, script: Script, check: Callable[[str], Awaitable[None]]) -> None:
    """Run a check against a daemon that does as scripted after each request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            assert request["method"] == "vm.exec" and request["params"] == {"ref": "a"}
            await script(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def run() -> None:
        path, served = str(folder / "d.sock"), list[asyncio.Task[None]]()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(asyncio.create_task(serve(reader, writer)))

        async with asyncio.timeout(60), await asyncio.start_unix_server(begin, path):
            await check(path)
            await asyncio.gather(*served)

    asyncio.run(run())


async def start(path: str) -> tuple[DaemonStream, Told]:
    stream = await open_stream(path, "vm.exec", {"ref": "a"})
    return stream, Told()


@pytest.mark.parametrize("size", [1, 3, 7, 100_000])
def test_frames_survive_any_cutting_and_come_after_the_start(short_dir: Path, size: int) -> None:
    """Also what came in one piece with the reply; progress before it is not taken for one."""
    said = b'{"jsonrpc":"2.0","method":"progress","params":{}}\n' + REPLY
    said += format_frame(STDOUT, b"one") + format_control({"eof": True})
    said += format_control({"exit": {"status": 3}})

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(0, len(said), size):
            writer.write(said[at : at + size])
            await writer.drain()

    async def check(path: str) -> None:
        stream, told = await start(path)
        assert stream.result == {"pid": 7}
        stream.start(told)
        await told.over.wait()
        assert (told.data, told.events, told.exit) == (b"one", ["eof"], {"status": 3})
        assert told.error is None and stream.room == 0

    with_daemon(short_dir, script, check)


def test_input_waits_for_room(short_dir: Path) -> None:
    """H7: the window is never exceeded, and grows as the daemon says."""
    more = 10

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REPLY)
        frames, received = FrameReader(), 0

        async def take() -> int:
            return sum(len(data) for _, data in frames.feed(await reader.read(65536)))

        while received < STDIN_WINDOW:
            received += await take()
        assert received == STDIN_WINDOW
        writer.write(format_control({"credit": more}))
        while received < STDIN_WINDOW + more:
            received += await take()
        assert received == STDIN_WINDOW + more
        writer.write(format_control({"exit": {"signal": 9}}))

    async def check(path: str) -> None:
        stream, told = await start(path)
        stream.start(told)
        left = STDIN_WINDOW + more
        while left:
            while not stream.room:
                told.room.clear()
                await told.room.wait()
            piece = min(stream.room, 100_000)
            stream.send(memoryview(bytes(piece)))
            left -= piece
        await told.over.wait()
        assert told.exit == {"signal": 9}

    with_daemon(short_dir, script, check)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (
            b'{"jsonrpc":"2.0","id":1,"error":{"message":"No.","data":{"code":"vm-not-found"}}}\n',
            VmNotFound,
        ),
        (b"", DaemonUnreachable),
        (b"nonsense\n", InvalidRequest),
    ],
)
def test_a_request_that_fails_says_why(
    short_dir: Path, said: bytes, error: type[BangerError]
) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    async def check(path: str) -> None:
        with pytest.raises(error):
            await call(path, "vm.exec", {"ref": "a"})

    with_daemon(short_dir, script, check)


def test_a_daemon_that_goes_away_ends_the_stream(short_dir: Path) -> None:
    """H2: told once; and where none listens nothing is started."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REPLY + format_frame(STDOUT, b"half"))

    async def check(path: str) -> None:
        stream, told = await start(path)
        stream.start(told)
        await told.over.wait()
        assert told.data == b"half" and isinstance(told.error, DaemonUnreachable)
        stream.close()
        stream.control({"eof": True})  # after the end: nothing happens
        with pytest.raises(DaemonUnreachable, match="does not answer"):
            await open_stream(path + "x", "vm.exec", {"ref": "a"})

    with_daemon(short_dir, script, check)


def test_a_daemon_that_was_written_to_after_its_end_is_read_to_the_end(short_dir: Path) -> None:
    """H1: a program that ended before its input did has its output and its status."""
    paused, closed = asyncio.Event(), asyncio.Event()

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REPLY)
        await paused.wait()
        writer.write(format_frame(STDOUT, b"one") + format_control({"exit": {"status": 3}}))
        writer.close()
        await writer.wait_closed()
        closed.set()

    async def check(path: str) -> None:
        stream, told = await start(path)
        stream.start(told)
        stream.pause()
        paused.set()
        await closed.wait()
        stream.control({"eof": True})
        await told.over.wait()
        assert (told.data, told.exit, told.error) == (b"one", {"status": 3}, None)

    with_daemon(short_dir, script, check)


def test_a_stream_that_is_closed_calls_nothing_back(short_dir: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REPLY + format_frame(STDOUT, b"data"))
        assert await reader.read() == b""

    async def check(path: str) -> None:
        stream, told = await start(path)
        stream.close()
        stream.close()
        assert told.data == b"" and not told.over.is_set()

    with_daemon(short_dir, script, check)
