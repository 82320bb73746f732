"""Our tar entries, read back by Python's tarfile."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.tar import write
from banger.tar.format import END_OF_TAR

PARTS = st.binary(min_size=1, max_size=120).filter(lambda p: 0 not in p and b"/" not in p)
NAMES = st.lists(PARTS, min_size=1, max_size=6).map(b"/".join)


def read(stream: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(stream + END_OF_TAR), errors="surrogateescape") as tar:
        return tar.getmembers()


@given(NAMES, st.binary(max_size=2000), st.integers(0, 2**33 - 1))
def test_files_of_any_name(name: bytes, content: bytes, mtime_s: int) -> None:
    entry = write.file_entry(name, content, mode=0o640, mtime_s=mtime_s)
    assert len(entry) % 512 == 0
    (member,) = read(entry)
    assert os.fsencode(member.name).rstrip(b"/") == name.rstrip(b"/")
    assert (member.size, member.mode, member.mtime) == (len(content), 0o640, mtime_s)
    assert (member.uid, member.gid, member.isreg()) == (0, 0, True)


@given(NAMES, st.binary(min_size=1, max_size=300).filter(lambda t: 0 not in t))
def test_links_of_any_name_and_target(name: bytes, target: bytes) -> None:
    (member,) = read(write.symlink_entry(name, target))
    assert member.issym() and os.fsencode(member.linkname) == target


def test_sizes_beyond_the_octal_field() -> None:
    block = write.header(b"big", b"0", mode=0o644, size=20 * 2**30, mtime_s=0)
    assert tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").size == 20 * 2**30


@pytest.mark.parametrize("mtime_s", [-5, 2**40])
def test_times_that_do_not_fit_are_clamped(mtime_s: int) -> None:
    (member,) = read(write.file_entry(b"f", b"", mtime_s=mtime_s))
    assert member.mtime in (0, 8**11 - 1)


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 4096)
    fd = os.open(path, os.O_RDONLY)
    chunks = write.file_chunks(b"f", fd)
    next(chunks)
    os.truncate(path, 10)
    with pytest.raises(write.FileShrank):
        list(chunks)
    os.close(fd)


def test_a_file_that_grows_is_sent_as_long_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 1000)
    fd = os.open(path, os.O_RDONLY)
    chunks = write.file_chunks(b"f", fd)
    first = next(chunks)
    path.write_bytes(b"y" * 5000)
    assert read(first + b"".join(chunks))[0].size == 1000
    os.close(fd)


@given(st.lists(st.binary(min_size=1, max_size=2000)))
def test_gathering_changes_no_byte(parts: list[bytes]) -> None:
    assert b"".join(write.gathered(part for part in parts)) == b"".join(parts)
