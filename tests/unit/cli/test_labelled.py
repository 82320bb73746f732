"""Labelled lines: whatever is written, and wherever it is split."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.cli.terminal import prefixed_output as labelled
from banger.cli.terminal.prefixed_output import Lines, Output, OutputClosed
from banger.errors import OperationFailed

PIECES = st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"a\n", b"", b"\n\n"]))


def render(pieces: list[bytes], *, for_terminal: bool = False) -> bytes:
    lines = Lines("[7] ", for_terminal=for_terminal)
    return b"".join(map(lines.feed, pieces)) + lines.finish()


@given(PIECES)
def test_every_byte_is_kept_and_the_split_does_not_matter(pieces: list[bytes]) -> None:
    """H7: labels taken off again, it is what was written, with a newline at the end."""
    written = b"".join(pieces)
    rendered = render(pieces)
    assert rendered == render([written])
    lines = rendered.split(b"\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"[7] ") for line in lines)
    assert b"\n".join(line[4:] for line in lines) == written.removesuffix(b"\n")


@given(PIECES)
def test_nothing_written_to_a_terminal_can_steer_it(pieces: list[bytes]) -> None:
    """E3."""
    rendered = render(pieces, for_terminal=True)
    assert all(byte in b"\t\n" or byte >= 32 for byte in rendered)
    assert 0x7F not in rendered


@given(st.lists(st.integers(0, 20)), st.data())
def test_long_lines_are_cut_into_pieces(sizes: list[int], data: st.DataObject) -> None:
    """E2: what is held back is bounded; the pieces do not depend on the split."""
    written = b"\n".join(b"x" * size for size in sizes)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=8)))
    pieces = [written[i:j] for i, j in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelled, "LINE_BYTES", 6)
        lines = Lines("", for_terminal=False)
        rendered = b""
        for piece in pieces:
            rendered += lines.feed(piece)
            assert len(lines._rest) <= 6
        rendered += lines.finish()
        assert rendered == render([written]).replace(b"[7] ", b"")
    assert max(map(len, rendered.split(b"\n"))) <= 6
    assert rendered.replace(b"\n", b"") == written.replace(b"\n", b"")


def test_after_the_end_nothing_is_written() -> None:
    reading, writing = os.pipe()
    output = Output()
    output.write(writing, b"one\n")
    output.close()
    with pytest.raises(OutputClosed):
        output.write(writing, b"two\n")
    os.close(writing)
    assert os.read(reading, 100) == b"one\n"
    os.close(reading)
    output.require_written()


def test_a_reader_that_left_and_a_full_disk_are_told_apart() -> None:
    """H7, A10."""
    reading, writing = os.pipe()
    os.close(reading)
    with open("/dev/full", "wb") as full:
        for fd, error in ((writing, BrokenPipeError), (full.fileno(), OperationFailed)):
            output = Output()
            for _ in range(2):
                with pytest.raises(OutputClosed):
                    output.write(fd, b"x\n")
            with pytest.raises(error):
                output.require_written()
    os.close(writing)


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    """H7: whoever shares it may have made it so."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = b"x" * 200_000 + b"\n"
    thread = threading.Thread(target=Output().write, args=(writing, data))
    thread.start()
    received = b""
    while not received.endswith(b"\n"):
        received += os.read(reading, 65536)
    thread.join(30)
    assert received == data
    for fd in (reading, writing):
        os.close(fd)
