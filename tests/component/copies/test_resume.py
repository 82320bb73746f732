"""`banger cp --resume`: one file, broken off at several places, ends up as it is."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.component.copies.conftest import Copies
from tests.component.daemon.running import popen, wait_until
from tests.support.sampling import choose_size

MIB = 2**20
SIZE = choose_size(256, 1024) * MIB
PART = ".big.banger-part"


def make_big(path: Path) -> None:
    """A big file of which no mebibyte is like another; most of it is holes."""
    with open(path, "wb") as file:
        file.truncate(SIZE)
        for number in range(SIZE // MIB):
            os.pwrite(file.fileno(), b"%08d" % number, number * MIB)
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    path.chmod(0o640)


def break_off(copies: Copies, source: str, target: str, part: Path, *, at: int) -> None:
    """Kill the client when so many bytes have arrived."""
    with popen(copies.environ, "cp", "--resume", source, target, cwd=copies.here) as process:
        wait_until(lambda: part.exists() and part.stat().st_size >= at, "the part")
        process.send_signal(signal.SIGINT if at % 2 else signal.SIGKILL)
        assert process.wait(60) != 0


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_big_file_that_breaks_off_goes_on(copies: Copies, way: str) -> None:
    """A9: three times, by an interrupt and by a kill; what was there stays until the whole is."""
    begin, end = (copies.here, copies.there) if way == "in" else (copies.there, copies.here)
    source, target = ("big", "box:big") if way == "in" else ("box:big", "big")
    make_big(begin / "big")
    (end / "big").write_text("old")
    for at in (1, 25 * MIB, 50 * MIB + 1):
        before = (end / PART).stat().st_size if at > 1 else 0
        break_off(copies, source, target, end / PART, at=at)
        assert (end / PART).stat().st_size >= max(at, before)
        assert (end / "big").read_text() == "old"
    wait_until(lambda: part_is_still(end / PART), "the guest's last bytes")
    done = copies.cp("--resume", source, target)
    offsets = re.findall(r"continues after the (\d+) bytes", done.stderr.decode())
    assert len(offsets) == 1 and int(offsets[0]) >= 50 * MIB
    subprocess.run(["cmp", begin / "big", end / "big"], check=True)
    assert os.listdir(end) == ["big"]
    found, wanted = (end / "big").stat(), (begin / "big").stat()
    assert (found.st_mode, found.st_mtime_ns) == (wanted.st_mode, wanted.st_mtime_ns)


def part_is_still(part: Path) -> bool:
    before = part.stat().st_size
    return os.path.exists(part) and part.stat().st_size == before


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_part_of_another_file_is_not_used(copies: Copies, way: str) -> None:
    """One that differs, one that is longer, and a link that stands in its place."""
    begin, end = (copies.here, copies.there) if way == "in" else (copies.there, copies.here)
    source, target = ("big", "box:big") if way == "in" else ("box:big", "big")
    content = os.urandom(300_000)
    (begin / "big").write_bytes(content)
    for part in (os.urandom(1000), content[:-1] + bytes([content[-1] ^ 1]), content + b"more", b""):
        (end / PART).write_bytes(part)
        done = copies.cp("--resume", source, target)
        assert b"continues" not in done.stderr
        assert (end / "big").read_bytes() == content
    (end / PART).write_bytes(content)
    assert b"continues after the 300000 bytes" in copies.cp("--resume", source, target).stderr
    assert (end / "big").read_bytes() == content
    (end / PART).symlink_to(begin / "big")
    copies.refused("--resume", source, target, status=1)
    assert (begin / "big").read_bytes() == content


@pytest.mark.parametrize("way", ["in", "out"])
def test_two_copies_do_not_share_a_part(copies: Copies, way: str) -> None:
    """A9, C6: the second is told of the first, which is not disturbed."""
    begin, end = (copies.here, copies.there) if way == "in" else (copies.there, copies.here)
    source, target = ("big", "box:big") if way == "in" else ("box:big", "big")
    content = os.urandom(300_000)
    (begin / "big").write_bytes(content)
    with open(end / PART, "wb") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        first.write(content[:1000])
        first.flush()
        assert "Another copy" in copies.refused("--resume", source, target, status=5)
        assert (end / PART).read_bytes() == content[:1000]
    assert b"continues after the 1000 bytes" in copies.cp("--resume", source, target).stderr
    assert (end / "big").read_bytes() == content
    assert os.listdir(end) == ["big"]


def test_only_one_file_is_resumed(copies: Copies) -> None:
    for side in (copies.here, copies.there):
        (side / "tree").mkdir()
    assert "copies one file" in copies.refused("--resume", "tree", "box:new", status=2)
    assert "copies one file" in copies.refused("--resume", "box:tree", "new", status=2)
    assert "archive" in copies.refused("--resume", "-", "box:.", status=2)
    assert "archive" in copies.refused("--resume", "box:tree", "-", status=2)
