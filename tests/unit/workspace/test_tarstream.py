"""Our tar entries, read back by Python's tarfile."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import RepositoryRefused
from banger.host import tarformat
from banger.workspace import tarstream
from banger.workspace.facts import FileKind, WorkFile

PARTS = st.binary(min_size=1, max_size=120).filter(lambda p: 0 not in p and b"/" not in p)
NAMES = st.lists(PARTS, min_size=1, max_size=6).map(b"/".join)


def read(stream: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(
        fileobj=io.BytesIO(stream + tarformat.END_OF_TAR), errors="surrogateescape"
    ) as tar:
        return tar.getmembers()


@given(NAMES, st.binary(max_size=2000), st.integers(0, 2**33 - 1))
def test_files_of_any_name(name: bytes, content: bytes, mtime_s: int) -> None:
    entry = tarstream.file_entry(name, content, mode=0o640, mtime_s=mtime_s)
    assert len(entry) % 512 == 0
    (member,) = read(entry)
    assert os.fsencode(member.name).rstrip(b"/") == name.rstrip(b"/")
    assert (member.size, member.mode, member.mtime) == (len(content), 0o640, mtime_s)
    assert (member.uid, member.gid, member.isreg()) == (0, 0, True)


@given(NAMES, st.binary(min_size=1, max_size=300).filter(lambda t: 0 not in t))
def test_links_of_any_name_and_target(name: bytes, target: bytes) -> None:
    (member,) = read(tarstream.symlink_entry(name, target))
    assert member.issym() and os.fsencode(member.linkname) == target


def test_sizes_beyond_the_octal_field() -> None:
    block = tarformat.header(b"big", b"0", mode=0o644, size=20 * 2**30, mtime_s=0)
    assert tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").size == 20 * 2**30


@pytest.mark.parametrize("mtime_s", [-5, 2**40])
def test_times_that_do_not_fit_are_clamped(mtime_s: int) -> None:
    (member,) = read(tarstream.file_entry(b"f", b"", mtime_s=mtime_s))
    assert member.mtime in (0, 8**11 - 1)


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 4096)
    fd = os.open(path, os.O_RDONLY)
    chunks = tarstream.file_chunks(b"f", fd)
    next(chunks)
    os.truncate(path, 10)
    with pytest.raises(RepositoryRefused, match="became shorter"):
        list(chunks)
    os.close(fd)


def test_a_file_that_grows_is_sent_as_long_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 1000)
    fd = os.open(path, os.O_RDONLY)
    chunks = tarstream.file_chunks(b"f", fd)
    first = next(chunks)
    path.write_bytes(b"y" * 5000)
    assert read(first + b"".join(chunks))[0].size == 1000
    os.close(fd)


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


@given(st.lists(st.binary(min_size=1, max_size=2000)))
def test_gathering_changes_no_byte(parts: list[bytes]) -> None:
    assert b"".join(tarstream.gathered(part for part in parts)) == b"".join(parts)
