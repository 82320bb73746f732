"""QMP with a peer that is not as it should be (E2: a VMM that was taken over)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from banger.errors import BangerError, DeadlineExceeded, VmmFailed
from banger.vmm.qemu.qmp import query_status

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
DONE = b'{"return": {}}\n'
EVENT = b'{"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 2}}\n'


def ask(short_dir: Path, said: bytes, *, deadline_s: float = 10, close: bool = True) -> str:
    """Return the status that a peer gives that says `said` whatever it is asked."""

    async def scenario() -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            if close:
                writer.write_eof()
            await reader.read()
            writer.close()

        path = str(short_dir / "q")
        server = await asyncio.start_unix_server(serve, path)
        async with server:
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
