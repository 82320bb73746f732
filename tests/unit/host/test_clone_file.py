"""`clone_file`: the same bytes, the same holes, whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from banger.host.files import clone_file


def test_data_and_holes_are_as_they_were(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with open(source, "wb") as file:
        file.truncate(64 * 2**20)
        os.pwrite(file.fileno(), b"begin", 0)
        os.pwrite(file.fileno(), b"middle" * 5000, 20 * 2**20)
    clone_file(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 < 2**20
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 100_000])
def test_files_without_holes(tmp_path: Path, content: bytes) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    (tmp_path / "target.partial").write_bytes(b"left by a death")
    clone_file(source, target)
    assert target.read_bytes() == content
    target.write_bytes(b"another")
    assert source.read_bytes() == content
