"""QMP with a peer that is not as it should be (E2: a VMM that was taken over)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from banger.errors import BangerError, DeadlineExceeded, VmmFailed
from banger.vmm.qemu.qmp import query_status, restore, save_devices

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
DONE = b'{"return": {}}\n'
EVENT = b'{"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 2}}\n'


@contextlib.asynccontextmanager
async def peer(short_dir: Path, said: bytes, *, close: bool = True) -> AsyncIterator[str]:
    """The socket of a peer that says `said` whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served = asyncio.current_task()
        assert served is not None
        conversations.append(served)
        writer.write(said)
        if close:
            writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    conversations: list[asyncio.Task[object]] = []
    path = str(short_dir / "q")
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        try:
            yield path
        finally:
            await asyncio.gather(*conversations)


def ask(short_dir: Path, said: bytes, *, deadline_s: float = 10, close: bool = True) -> str:
    """Return the status that a peer gives."""

    async def scenario() -> str:
        async with peer(short_dir, said, close=close) as path:
            return await query_status(path, deadline_s=deadline_s)

    return asyncio.run(scenario())


def test_events_before_the_answer_are_skipped(short_dir: Path) -> None:
    said = GREETING + EVENT + DONE + EVENT * 3 + b'{"return": {"status": "running"}}\n'
    assert ask(short_dir, said) == "running"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\n",
        b"hello\n",
        GREETING,
        GREETING[:-1],
        DONE * 3,
        GREETING + DONE + DONE,
        GREETING + DONE + b'{"return": {"status": 3}}\n',
        GREETING + DONE + b'{"error": {"class": "X", "desc": "no"}}\n',
        GREETING + b'{"error": "no"}\n',
        GREETING + DONE + EVENT * 1001,
        GREETING + b"x" * 100_000,
        GREETING + b'{"return": {"x": ' + b"[" * 60_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_nonsense_is_an_error_of_ours(short_dir: Path, said: bytes) -> None:
    with pytest.raises(VmmFailed):
        ask(short_dir, said)


def test_a_silent_peer_costs_no_more_than_the_deadline(short_dir: Path) -> None:
    """A2: and the cancelled conversation leaves nothing behind."""
    with pytest.raises(DeadlineExceeded, match=r"0\.1 s"):
        ask(short_dir, GREETING, deadline_s=0.1, close=False)


def test_nobody_there_is_an_error_of_ours(short_dir: Path) -> None:
    with pytest.raises(BangerError):
        asyncio.run(query_status(str(short_dir / "none"), deadline_s=5))


STOPPED = b'{"return": {"status": "paused", "running": false}}\n'
FDSET = b'{"return": {"fdset-id": 4, "fd": 11}}\n'
REFUSED = b'{"error": {"class": "GenericError", "desc": "no such thing"}}\n'
SAVED = GREETING + DONE + STOPPED + FDSET + DONE + DONE


def said_address(text: str) -> bytes:
    return msgspec.json.encode({"return": text}) + b"\n"


def save(short_dir: Path, said: bytes) -> int:
    """Return the address of the memory that a peer gives while its state is saved."""

    async def scenario(fd: int) -> int:
        async with peer(short_dir, said) as path:
            return await save_devices(path, fd, deadline_s=10)

    with open(short_dir / "state", "wb") as state:
        return asyncio.run(scenario(state.fileno()))


def test_the_address_of_the_memory_is_in_a_text_for_people(short_dir: Path) -> None:
    said = said_address("Host virtual address for 0x0 (pc.ram) is 0x7f12a0000000\r\n")
    assert save(short_dir, SAVED + EVENT + said) == 0x7F12A0000000


@pytest.mark.parametrize(
    "said",
    [
        GREETING + DONE + DONE,
        GREETING + DONE + b'{"return": {"running": true}}\n',
        GREETING + DONE + b'{"return": {"running": 0}}\n',
        GREETING + DONE + b'{"return": "paused"}\n',
        GREETING + DONE + STOPPED + REFUSED,
        GREETING + DONE + STOPPED + DONE,
        GREETING + DONE + STOPPED + b'{"return": {"fdset-id": "../../etc"}}\n' + DONE * 3,
        GREETING + DONE + STOPPED + b'{"return": {"fdset-id": null}}\n' + DONE * 3,
        GREETING + DONE + STOPPED + FDSET + REFUSED + DONE,
        GREETING + DONE + STOPPED + FDSET + DONE + REFUSED,
        SAVED,
        SAVED + DONE,
        SAVED + REFUSED,
        SAVED + b'{"return": ["text"]}\n',
        SAVED + said_address(""),
        SAVED + said_address("No memory is mapped at address 0x0"),
        SAVED + said_address("Host virtual address for 0x0 (pc.ram) is 0x" + "f" * 17),
        SAVED + said_address("Host virtual address for 0x0 (pc.ram) is 12"),
        SAVED + said_address("x" * 100_000),
    ],
)
def test_nonsense_while_a_state_is_saved_is_an_error_of_ours(short_dir: Path, said: bytes) -> None:
    """E2, A9: the address is used for reading memory; nothing but one number is taken."""
    with pytest.raises(VmmFailed):
        save(short_dir, said)


def migration(status: object) -> bytes:
    return msgspec.json.encode({"event": "MIGRATION", "data": {"status": status}}) + b"\n"


OLD, NEW = (7, 2, 0), (10, 0, 0)
LOADING = {OLD: GREETING + DONE * 4, NEW: GREETING + DONE * 2 + FDSET + DONE}
"""Up to the answer that QEMU begins to load, for each way to hand over the state."""
both_ways = pytest.mark.parametrize("version", [OLD, NEW], ids=["fd", "file"])


def load(
    short_dir: Path,
    said: bytes,
    *,
    version: tuple[int, int, int],
    deadline_s: float = 10,
    close: bool = True,
) -> None:
    """Load a state into a peer."""

    async def scenario(fd: int) -> None:
        async with peer(short_dir, said, close=close) as path:
            await restore(path, fd, version=version, deadline_s=deadline_s)

    with open(os.devnull, "rb") as state:
        asyncio.run(scenario(state.fileno()))


@both_ways
def test_a_state_is_loaded_when_the_event_says_so(
    short_dir: Path, version: tuple[int, int, int]
) -> None:
    events = migration("setup") + EVENT + migration("active") + migration("completed")
    load(short_dir, LOADING[version] + events + EVENT + DONE * 2, version=version)


@both_ways
@pytest.mark.parametrize("answers", [GREETING + DONE + REFUSED, GREETING + DONE * 2 + REFUSED])
def test_a_refusal_before_a_state_is_loaded_is_an_error_of_ours(
    short_dir: Path, answers: bytes, version: tuple[int, int, int]
) -> None:
    """E2, D3: a clone whose VMM did not confirm is not handed out."""
    with pytest.raises(VmmFailed):
        load(short_dir, answers, version=version)


@both_ways
@pytest.mark.parametrize(
    "said",
    [
        b"",
        migration("failed"),
        migration("setup") + migration("failed") + migration("completed") + DONE,
        migration(["completed"]),
        migration(None),
        b'{"event": "MIGRATION", "data": "completed"}\n',
        b'{"event": "MIGRATION"}\n',
        DONE + b'{"event": "STOP", "data": {"status": "completed"}}\n',
        EVENT * 1001,
        migration("completed"),
        migration("completed") + REFUSED,
    ],
)
def test_nonsense_while_a_state_is_loaded_is_an_error_of_ours(
    short_dir: Path, said: bytes, version: tuple[int, int, int]
) -> None:
    """E2, D3: a clone whose VMM did not confirm is not handed out."""
    with pytest.raises(VmmFailed):
        load(short_dir, LOADING[version] + said, version=version)


def test_a_load_that_never_ends_costs_no_more_than_the_deadline(short_dir: Path) -> None:
    """A2, D4."""
    said = LOADING[OLD] + migration("active")
    with pytest.raises(DeadlineExceeded, match=r"0\.1 s"):
        load(short_dir, said, version=OLD, deadline_s=0.1, close=False)
