"""Where a file's last lines begin."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.host import tails
from banger.host.tails import find_tail


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
