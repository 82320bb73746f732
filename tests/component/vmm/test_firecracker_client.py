"""Firecracker's API over real sockets, with peers that are not as they should be."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.errors import BangerError, DeadlineExceeded, HostFailed, NoSpace, VmmFailed
from banger.vmm.firecracker import requests, shapes
from banger.vmm.firecracker.client import (
    REPLY_BYTES,
    ask,
    open_connection,
    wait_listening,
)
from banger.vmm.firecracker.replies import InstanceState
from banger.vmm.firecracker.requests import Request
from tests.support.firecracker import unsent
from tests.support.firecracker.unsent import FirecrackerVersion
from tests.support.firecracker.wire import read_request, render_answer

DEADLINE_S = 60.0
"""For what takes no time at all."""
T = TypeVar("T")


DONE = render_answer(204)
VERSION = render_answer(200, b'{"firecracker_version":"1.12.1"}')
INSTANCE = render_answer(
    200, b'{"id":"anonymous","state":"Not started","vmm_version":"1.12.1","app_name":"Firecracker"}'
)
REFUSED = render_answer(400, b'{"fault_message":"no such thing"}')


class Ending(Enum):
    """What a peer does when it has said everything."""

    CLOSE = auto()
    HOLD = auto()
    """It keeps the connection and is silent."""
    RESET = auto()
    """It closes the connection without having read the request: what is under way may be lost."""


class Peer:
    """Answers each request with the next of `answers`, whatever it was."""

    def __init__(self, answers: Sequence[Sequence[bytes]], ending: Ending) -> None:
        self.answers = answers
        self.ending = ending
        self.seen: list[tuple[str, str, bytes]] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError):
            for pieces in self.answers:
                if self.ending is not Ending.RESET:
                    request = await read_request(reader)
                    if request is None:
                        break
                    self.seen.append(request[:3])
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            if self.ending is Ending.HOLD:
                await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def listening(path: Path, peer: Peer) -> AsyncIterator[str]:
    """A peer's socket, for a block; no conversation of it is left after that."""
    conversations: list[asyncio.Task[object]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.append(task)
        await peer.serve(reader, writer)

    async with await asyncio.start_unix_server(serve, path):
        try:
            yield str(path)
        finally:
            await asyncio.gather(*conversations)
    path.unlink(missing_ok=True)


def with_peer(
    directory: Path,
    use: Callable[[str], Awaitable[T]],
    *answers: bytes,
    ending: Ending = Ending.CLOSE,
) -> T:
    """Return what `use` does with the socket of a peer that gives these answers."""
    return with_this(directory, use, Peer([[each] for each in answers], ending))


def with_this(directory: Path, use: Callable[[str], Awaitable[T]], peer: Peer) -> T:
    async def scenario() -> T:
        async with asyncio.timeout(2 * DEADLINE_S), listening(directory / "f", peer) as path:
            return await use(path)

    return asyncio.run(scenario())


def asking(request: Request[T], deadline_s: float = DEADLINE_S) -> Callable[[str], Awaitable[T]]:
    return lambda path: ask(path, request, deadline_s=deadline_s)


def test_replies_come_typed(short_dir: Path) -> None:
    version = with_peer(short_dir, asking(unsent.get_version()), VERSION)
    assert version == FirecrackerVersion(firecracker_version="1.12.1")
    assert with_peer(short_dir, asking(unsent.act(unsent.Action.START)), DONE) is None
    instance = with_peer(short_dir, asking(requests.describe_instance()), INSTANCE)
    assert instance.state is InstanceState.NOT_STARTED


def test_one_connection_carries_a_conversation(short_dir: Path) -> None:
    peer = Peer([[VERSION], [DONE], [REFUSED], [DONE]], Ending.CLOSE)
    drive = shapes.Drive(drive_id="data", is_root_device=False, path_on_host="/v/data.img")

    async def talk(path: str) -> None:
        async with open_connection(path, deadline_s=DEADLINE_S) as connection:
            await connection.send(unsent.get_version(), deadline_s=DEADLINE_S)
            await connection.send(unsent.put_drive(drive), deadline_s=DEADLINE_S)
            with pytest.raises(VmmFailed, match=r"refused PUT /actions: no such thing"):
                await connection.send(unsent.act(unsent.Action.START), deadline_s=DEADLINE_S)
            await connection.send(
                requests.set_activity(requests.Activity.PAUSED), deadline_s=DEADLINE_S
            )

    with_this(short_dir, talk, peer)
    assert peer.connections == 1
    assert peer.seen == [
        ("GET", "/version", b""),
        (
            "PUT",
            "/drives/data",
            b'{"drive_id":"data","is_root_device":false,"path_on_host":"/v/data.img"}',
        ),
        ("PUT", "/actions", b'{"action_type":"InstanceStart"}'),
        ("PATCH", "/vm", b'{"state":"Paused"}'),
    ]


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("Create snapshot error: No space left on device (os error 28)", NoSpace, "28"),
        ('Drive: BackingFile(Os { code: 28, kind: StorageFull, message: "x" })', NoSpace, "28"),
        ("Cannot allocate memory (os error 12)", HostFailed, "12"),
        ("Too many open files (os error 24)", HostFailed, "24"),
        ("No such file or directory (os error 2)", VmmFailed, "os error 2"),
        ("one\n two\\tthree", VmmFailed, "one two"),
        ("x" * 10_000, VmmFailed, "x" * 500 + "$"),
    ],
)
def test_a_refusal_is_told_with_its_reason(
    short_dir: Path, fault: str, kind: type[BangerError], said: str
) -> None:
    """A10, D9: what the host refused is told as the host's, so that nobody blames a template."""
    body = b'{"fault_message":"%s"}' % fault.replace('"', '\\"').replace("\n", "\\n").encode()
    with pytest.raises(kind, match=rf"Firecracker refused PUT /actions: .*{said}") as caught:
        with_peer(short_dir, asking(unsent.act(unsent.Action.START)), render_answer(400, body))
    assert type(caught.value) is kind


NONSENSE = [
    b"",
    b"\n",
    b"hello\r\n\r\n",
    b"HTTP/1.1 204",
    b"HTTP/1.1 204 \r\n",
    VERSION[:-1],
    render_answer(200, b""),
    render_answer(200, b"{}"),
    render_answer(200, b"null"),
    render_answer(200, b'{"firecracker_version":1}'),
    render_answer(200, b'{"firecracker_version":"\xff"}'),
    render_answer(200, b"[" * 50_000),
    render_answer(204),
    render_answer(201, b'{"firecracker_version":"1.12.1"}'),
    render_answer(404),
    render_answer(500, b"not JSON"),
    render_answer(400, b'{"fault_message":null}'),
    render_answer(400, b"{}"),
    render_answer(100) * 3,
    b"HTTP/1.1 101 \r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + VERSION,
    render_answer(200, b'{"firecracker_version":"%s"}' % (b"1" * REPLY_BYTES)),
    render_answer(100) * (REPLY_BYTES // len(render_answer(100)) + 1) + VERSION,
    b"HTTP/1.1 200 \r\nX: " + b"x" * REPLY_BYTES,
    b"HTTP/1.1 200 \r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"HTTP/1.1 200 \r\nContent-Length: -1\r\n\r\n{}",
    b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    VERSION + VERSION,
    VERSION + b"x",
]


@pytest.mark.parametrize("said", NONSENSE, ids=[str(number) for number in range(len(NONSENSE))])
def test_nonsense_is_an_error_of_ours(short_dir: Path, said: bytes) -> None:
    """E2: a VMM that its guest has taken over costs bounded memory and that VM only."""
    with pytest.raises(VmmFailed):
        with_peer(short_dir, asking(unsent.get_version()), said)


def test_an_endless_answer_is_cut_off(short_dir: Path) -> None:
    """E2: whatever is said beyond the bound is never read."""
    sent = 0

    async def say_all() -> None:
        nonlocal sent

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            with contextlib.suppress(ConnectionError):
                writer.write(b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
                    await writer.drain()
                    sent += 0x1000
            ended.set()

        ended = asyncio.Event()
        async with await asyncio.start_unix_server(serve, short_dir / "f"):
            with pytest.raises(VmmFailed, match="too long"):
                await ask(str(short_dir / "f"), unsent.get_version(), deadline_s=DEADLINE_S)
            await ended.wait()

    asyncio.run(asyncio.wait_for(say_all(), 2 * DEADLINE_S))
    assert sent < 100 * REPLY_BYTES, "what the kernel and the writer keep for the reader"


def test_a_silent_peer_costs_no_more_than_the_deadline(short_dir: Path) -> None:
    """A2: and the connection, on which an answer may come yet, is not used any more."""
    peer = Peer([[VERSION[:20]], [VERSION]], Ending.HOLD)

    async def talk(path: str) -> None:
        async with open_connection(path, deadline_s=DEADLINE_S) as connection:
            with pytest.raises(DeadlineExceeded, match=r"GET /version .* within 0\.1 s"):
                await connection.send(unsent.get_version(), deadline_s=0.1)
            with pytest.raises(VmmFailed, match="used up"):
                await connection.send(unsent.get_version(), deadline_s=DEADLINE_S)

    with_this(short_dir, talk, peer)
    assert len(peer.seen) == 1


@pytest.mark.parametrize(
    "said", [VERSION + b"x", b"HTTP/1.0 200 \r\n\r\n{}", b"hello\r\n", VERSION[:30], DONE + DONE]
)
def test_a_connection_that_failed_carries_nothing_more(short_dir: Path, said: bytes) -> None:
    """What comes next on it may be the rest of another answer."""
    peer = Peer([[said], [VERSION]], Ending.CLOSE if said == VERSION[:30] else Ending.HOLD)

    async def talk(path: str) -> None:
        async with open_connection(path, deadline_s=DEADLINE_S) as connection:
            for _ in range(2):
                with pytest.raises((VmmFailed, DeadlineExceeded)):
                    await connection.send(unsent.get_version(), deadline_s=0.2)

    with_this(short_dir, talk, peer)
    assert len(peer.seen) <= 1


def test_a_peer_that_will_close_is_asked_nothing_more(short_dir: Path) -> None:
    last = VERSION.replace(b"keep-alive", b"close")

    async def talk(path: str) -> None:
        async with open_connection(path, deadline_s=DEADLINE_S) as connection:
            await connection.send(unsent.get_version(), deadline_s=DEADLINE_S)
            with pytest.raises(VmmFailed, match="used up"):
                await connection.send(unsent.get_version(), deadline_s=DEADLINE_S)

    with_peer(short_dir, talk, last, VERSION, ending=Ending.HOLD)


@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET])
def test_the_end_of_the_vmm_wakes_the_waiter_at_once(short_dir: Path, ending: Ending) -> None:
    """H2: the kernel closes its sockets, so no deadline is waited for."""
    with pytest.raises(VmmFailed, match=r"(failed during|answer to) GET /version"):
        with_peer(short_dir, asking(unsent.get_version(), deadline_s=1_000_000), b"", ending=ending)


def test_nobody_there_is_an_error_of_ours(short_dir: Path) -> None:
    with pytest.raises(VmmFailed, match="cannot be reached"):
        asyncio.run(ask(str(short_dir / "none"), unsent.get_version(), deadline_s=DEADLINE_S))


def test_the_socket_is_waited_for_until_somebody_listens(short_dir: Path) -> None:
    """Firecracker makes its socket itself; one that a dead one left is not it."""
    path = short_dir / "f"

    async def scenario() -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with pytest.raises(DeadlineExceeded):
            await wait_listening(str(path), deadline_s=0.1)
        waiting = asyncio.ensure_future(wait_listening(str(path), deadline_s=DEADLINE_S))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        path.unlink()
        async with await asyncio.start_unix_server(lambda _reader, writer: writer.close(), path):
            await waiting

    asyncio.run(scenario())


def test_a_cancelled_request_leaves_no_descriptor(short_dir: Path) -> None:
    async def scenario(path: str) -> None:
        task = asyncio.ensure_future(ask(path, unsent.get_version(), deadline_s=DEADLINE_S))
        while not peer.seen:  # noqa: ASYNC110 - until the request was sent
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = count_descriptors()
    peer = Peer([[VERSION[:10]]], Ending.HOLD)
    with_this(short_dir, scenario, peer)  # the peer ends when its connection is closed
    assert count_descriptors() == before


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


GOOD = [VERSION, INSTANCE, DONE, REFUSED]
ASKED: list[Request[Any]] = [
    unsent.get_version(),
    requests.describe_instance(),
    unsent.act(unsent.Action.START),
]


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Answers, whole, cut, doubled, or with some bytes that are others."""
    said = bytearray(b"".join(draw(st.lists(st.sampled_from(GOOD), max_size=3))))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)))):
        if place < len(said):
            said[place] = byte
    return bytes(said[: draw(st.integers(0, 600))])


@st.composite
def split(draw: st.DrawFn) -> list[bytes]:
    """What a peer says, in pieces."""
    said = draw(st.one_of(spoilt(), st.sampled_from(GOOD), st.binary(max_size=300)))
    cuts = sorted(draw(st.sets(st.integers(1, 400), max_size=10)))
    edges = [0, *cuts, max(len(said), 400)]
    return [said[start:end] for start, end in itertools.pairwise(edges) if said[start:]]


def outcome_of(request: Request[Any], deadline_s: float) -> Callable[[str], Awaitable[Any]]:
    """Return what returns the reply or the error."""

    async def use(path: str) -> Any:
        try:
            return await ask(path, request, deadline_s=deadline_s)
        except BangerError as error:
            return error

    return use


@given(pieces=split(), ending=st.sampled_from(Ending), request_=st.sampled_from(ASKED))
@settings(max_examples=200)
def test_whatever_is_said_however_it_ends(
    run_dir: Path, pieces: list[bytes], ending: Ending, request_: Request[Any]
) -> None:
    """E2, C5: an error of ours or a reply of its type, within the deadline; nothing stays open."""
    before = count_descriptors()
    deadline_s = 0.05 if ending is Ending.HOLD else DEADLINE_S
    peer = Peer([pieces], ending)
    came = with_this(run_dir, outcome_of(request_, deadline_s), peer)
    assert isinstance(came, request_.reply | VmmFailed | HostFailed | NoSpace | DeadlineExceeded)
    assert ending is Ending.HOLD or not isinstance(came, DeadlineExceeded)
    assert count_descriptors() <= before, "less: of an earlier test, collected meanwhile"


@given(pieces=st.sets(st.integers(1, 200), max_size=20))
@settings(max_examples=50)
def test_a_good_answer_is_taken_in_any_pieces(run_dir: Path, pieces: set[int]) -> None:
    edges = [0, *sorted(pieces), len(VERSION)]
    cut = [VERSION[start:end] for start, end in itertools.pairwise(edges)]
    peer = Peer([cut], Ending.HOLD)
    reply = with_this(run_dir, asking(unsent.get_version()), peer)
    assert reply.firecracker_version == "1.12.1"
