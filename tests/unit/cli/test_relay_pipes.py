"""Output into a pipe whose reader is slow: what it takes at once, and no wait for the rest."""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.client.relay import WRITE_BYTES, _write_pipe


@pytest.fixture(params=["pipe", "fifo"])
def pipe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Both ends: of a pipe, and of a FIFO, where kernels have no RWF_NOWAIT."""
    if request.param == "pipe":
        ends = os.pipe()
    else:
        os.mkfifo(tmp_path / "fifo")
        reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        ends = reader, os.open(tmp_path / "fifo", os.O_WRONLY)
    yield ends
    for end in ends:
        os.close(end)


def test_a_pipe_gets_what_it_takes_at_once(pipe: tuple[int, int]) -> None:
    """H7: a write that waits would hold up what else the command relays."""
    _, writer = pipe
    size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    room = min(size, 2 * select.PIPE_BUF)
    os.write(writer, bytes(size - room))
    assert select.PIPE_BUF <= _write_pipe(writer, bytearray(WRITE_BYTES)) <= room
