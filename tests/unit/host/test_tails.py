"""Where a file's last lines begin, and readers of a log that is cut under them (A10)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.host import tails
from banger.host.tails import CUT, LogReader, cut_log, find_tail


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"bc\n", b"\n\n"])).map(b"".join),
    st.integers(0, 6),
    st.integers(1, 5),
)
def test_the_last_lines_are_those_of_tail(content: bytes, lines: int, block: int) -> None:
    all_lines = content.splitlines(keepends=True)
    with pytest.MonkeyPatch.context() as patch, tempfile.NamedTemporaryFile() as file:
        patch.setattr(tails, "BLOCK", block)
        file.write(content)
        file.flush()
        offset = find_tail(Path(file.name), lines)
    assert content[offset:] == b"".join(all_lines[len(all_lines) - min(lines, len(all_lines)) :])


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert find_tail(tmp_path / "none", 5) == 0


ENOUGH_READS = [("r", b"")] * 200


@given(st.lists(st.tuples(st.sampled_from("wwrc"), st.binary(max_size=40)), max_size=40))
def test_a_reader_sees_each_byte_once_or_is_told(acts: list[tuple[str, bytes]]) -> None:
    """A10: whatever is written, read and cut in whatever order."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(tails, "BLOCK", 16)
        reader = LogReader(Path(folder, "log"))
        written, seen = b"", 0
        for act, content in [*acts, *ENOUGH_READS]:
            if act == "w":
                written += content
                with open(reader.path, "ab") as log:
                    log.write(content)
            elif act == "c":
                cut_log(reader.path, limit_bytes=120, kept_bytes=20)
            else:
                read, last, seen = reader.read(), seen, reader.position
                if read == CUT.format(seen).encode():
                    assert seen > last, "nothing was missed"
                else:
                    assert read == written[last:seen]
        assert seen == len(written)


def test_a_reader_at_the_end_reads_on_over_a_cut(tmp_path: Path) -> None:
    """A10: nothing comes twice."""
    path = tmp_path / "log"
    assert LogReader.at(path).read() == b""
    path.write_bytes(b"x" * 200)
    reader, tail = LogReader.at(path), LogReader.at(path, 195)
    cut_log(path, limit_bytes=100, kept_bytes=10)
    assert (reader.read(), tail.read()) == (b"", b"xxxxx")
    with open(path, "ab") as log:
        log.write(b"more")
    assert (reader.read(), tail.read(), LogReader.at(path).read()) == (b"more", b"more", b"")
    whole = LogReader(path)
    assert (whole.read(), whole.read()) == (CUT.format(190).encode(), b"x" * 10 + b"more")


def test_a_log_that_is_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one, two")
    reader = LogReader.at(path)
    path.write_bytes(b"anew")
    assert (reader.read(), reader.read()) == (b"anew", b"")
