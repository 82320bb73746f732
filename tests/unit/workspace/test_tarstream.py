"""A work tree as a tar, read back by Python's tarfile."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from banger.errors import RepositoryRefused
from banger.tar.format import END_OF_TAR
from banger.workspace import tarstream
from banger.workspace.facts import FileKind, WorkFile


def read(stream: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(stream + END_OF_TAR), errors="surrogateescape") as tar:
        return tar.getmembers()


def test_never_follows_a_link_on_the_way(tmp_path: Path) -> None:
    """F4: a tracked a/b is not there when a is a link by now."""
    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / "b").write_text("secret")
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").symlink_to(secret)
    (top / "c").symlink_to(secret / "b")
    files = [WorkFile(b"a/b", FileKind.FILE, 6), WorkFile(b"c", FileKind.FILE, 6)]
    stream = b"".join(tarstream.work_tree_chunks(top, files, on_file=lambda size: None))
    assert b"\0secret" not in stream
    assert [(member.name, member.type) for member in read(stream)] == [("c", tarfile.SYMTYPE)]


def test_leaves_out_what_is_gone_or_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "there").write_text("x")
    names = [b"directory", b"gone", b"pipe", b"sub/gone", b"there", b"there/below"]
    files = [WorkFile(name, FileKind.FILE, 0) for name in names]
    sent: list[int] = []
    stream = b"".join(tarstream.work_tree_chunks(tmp_path, files, on_file=sent.append))
    assert [member.name for member in read(stream)] == ["there"] and len(sent) == 1


def test_names_the_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "locked").write_text("x")
    (tmp_path / "locked").chmod(0)
    files = [WorkFile(b"locked", FileKind.FILE, 1)]
    with pytest.raises(RepositoryRefused, match="'locked'"):
        list(tarstream.work_tree_chunks(tmp_path, files, on_file=lambda size: None))


def test_a_file_that_shrinks_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 4096)
    chunks = tarstream.work_tree_chunks(
        tmp_path, [WorkFile(b"f", FileKind.FILE, 4096)], on_file=lambda size: None
    )
    next(chunks)
    os.truncate(tmp_path / "f", 10)
    with pytest.raises(RepositoryRefused, match="'f' shrank"):
        list(chunks)
