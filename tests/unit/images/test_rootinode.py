"""F2: the root directory belongs to root, wherever its inode lies in the file."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from banger.errors import ToolFailed
from banger.images.plan import plan_sqfstar
from banger.images.rootinode import RootInode, set_root_inode

pytestmark = pytest.mark.skipif(
    not (shutil.which("sqfstar") and shutil.which("unsquashfs")), reason="no squashfs-tools"
)


def make_squashfs(directory: Path, *, files: int, link: int = 0, compress: bool = False) -> Path:
    """Make one with empty files (32 bytes each) and a link (24 bytes and its target)."""
    archive, root = directory / "a.tar", directory / "root"
    with tarfile.open(archive, "w") as tar:
        if link:
            member = tarfile.TarInfo("link")
            member.type, member.linkname = tarfile.SYMTYPE, "x" * link
            tar.addfile(member)
        for number in range(files):
            tar.addfile(tarfile.TarInfo(f"f{number:05}"))
    argv = [a for a in plan_sqfstar(root) if not (compress and a == "-noI")]
    with open(archive, "rb") as stdin:
        subprocess.run(argv, stdin=stdin, check=True, capture_output=True)
    return root


def stat_root(root: Path) -> str:
    argv = ["unsquashfs", "-UTC", "-llnumeric", "-d", "/", str(root), "/none"]
    said = subprocess.run(argv, check=False, capture_output=True, text=True).stdout
    return said.strip().splitlines()[0]


@pytest.mark.parametrize(
    ("files", "link"), [(1, 0), (255, 0), (256, 0), (1000, 0), *((254, n) for n in range(24, 42))]
)
def test_owner_and_time_are_set_and_nothing_else(tmp_path: Path, files: int, link: int) -> None:
    """The root inode is moved over the border of a metadata block, byte by byte."""
    root = make_squashfs(tmp_path, files=files, link=link)
    before = root.read_bytes()
    set_root_inode(root, RootInode(mtime=86400))
    after = root.read_bytes()
    assert len(after) == len(before)
    differing = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert len(differing) <= 10
    line = stat_root(root)
    assert line.startswith("drwxr-xr-x 0/0 ")
    assert "1970-01-02 00:00" in line
    listed = subprocess.run(["unsquashfs", "-l", root], check=True, capture_output=True, text=True)
    assert listed.stdout.count("/f0") == files
    set_root_inode(root, RootInode(mtime=86400))
    assert root.read_bytes() == after


def test_two_builds_of_different_times_are_equal_after(tmp_path: Path) -> None:
    roots = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        root = make_squashfs(tmp_path / str(number), files=10)
        with open(root, "r+b") as file:  # as if it had been made at another time
            content = file.read()
            at = struct.unpack_from("<Q", content, 32)[0]
            start = struct.unpack_from("<Q", content, 64)[0] + (at >> 16) + 2 + (at & 0xFFFF)
            os.pwrite(file.fileno(), struct.pack("<I", number), start + 8)
        set_root_inode(root, RootInode(mtime=5))
        roots.append(root.read_bytes())
    assert roots[0] == roots[1]


def test_compressed_metadata_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="compressed"):
        set_root_inode(make_squashfs(tmp_path, files=500, compress=True), RootInode(mtime=5))
    (tmp_path / "text").write_bytes(b"no squashfs" * 20)
    with pytest.raises(ToolFailed, match=r"squashfs 4\.0"):
        set_root_inode(tmp_path / "text", RootInode(mtime=5))
