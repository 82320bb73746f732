"""`-o FILE`: written to where the name leads, whatever is there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from banger.cli.terminal.outfile import open_output
from banger.errors import OperationFailed

OLD, NEW = b"old", b"new"


def write(name: str | Path) -> None:
    with open_output(str(name)) as file:
        file.write(NEW)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_file_has_the_mode_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == NEW
    assert mode_of(tmp_path / "file") == mode_of(tmp_path / "other")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_keeps_its_mode_and_a_failure_its_content(tmp_path: Path) -> None:
    """A9: half a result never has the name."""
    path = tmp_path / "file"
    path.write_bytes(OLD)
    path.chmod(0o640)
    with pytest.raises(ZeroDivisionError), open_output(str(path)) as file:
        file.write(b"%d" % (1 // 0))
    assert path.read_bytes() == OLD
    write(path)
    assert (path.read_bytes(), mode_of(path)) == (NEW, 0o640)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_a_link(tmp_path: Path, is_there: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    if is_there:
        target.write_bytes(OLD)
    link.symlink_to("target")
    write(link)
    assert os.readlink(link) == "target"
    assert target.read_bytes() == NEW


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write(pipe)
    reader.join(30)
    assert read == [NEW]
    assert pipe.is_fifo()


def test_dev_null_takes_everything() -> None:
    write("/dev/null")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("to_file", [True, False])
def test_names_of_open_descriptors_are_the_descriptors(
    tmp_path: Path, name: str, to_file: bool
) -> None:
    """Also one that is a file: what the shell wrote there before stays before."""
    program = (
        "import os, sys; from banger.cli.terminal.outfile import open_output\n"
        "os.write(1, b'first ')\n"
        "with open_output(sys.argv[1]) as file: file.write(b'new')\n"
    )
    argv = [sys.executable, "-c", program, name]
    if not to_file:
        assert subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout == b"first new"
        return
    with open(tmp_path / "file", "wb") as file:
        subprocess.run(argv, stdout=file, check=True, timeout=60)
    assert (tmp_path / "file").read_bytes() == b"first new"


def test_a_file_in_a_directory_that_is_not_ours_is_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    tmp_path.chmod(0o500)
    try:
        write(path)
    finally:
        tmp_path.chmod(0o700)
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("name", ["missing/file", ".", "file/below", "a" * 4000, "caf\udce9/file"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperationFailed, match="cannot be written"):
        write(tmp_path / name)
