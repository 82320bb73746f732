"""Memory read out of a real process: its own pages, exactly, and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from banger.errors import VmmFailed
from banger.host.identity import ProcessIdentity, identify
from banger.vmm.memory import PAGE, write_memory

PAGES = 3000
"""More than one read of memory (256 pages) holds."""
WRITTEN = {0: b"first", 7: b"a", 8: b"b", **dict.fromkeys(range(300, 900), b"run"), 2999: b"last"}
"""Pages that the process has written, some side by side."""
NOWHERE = 1 << 45
"""Linux puts nothing between programs (0x55...) and libraries (0x7f...) by itself."""
ZEROED = 1500
"""Written with zeros."""

CHILD = """
import ctypes, mmap, sys
path, pages, page = sys.argv[1], int(sys.argv[2]), mmap.PAGESIZE
if path:
    with open(path, "r+b") as file:
        area = mmap.mmap(file.fileno(), pages * page, flags=mmap.MAP_PRIVATE)
else:
    area = mmap.mmap(-1, pages * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_NOHUGEPAGE)
for word in sys.argv[3:]:
    number, _, text = word.partition("=")
    start = int(number) * page
    if text == "DROP":
        area.madvise(mmap.MADV_DONTNEED, start, page)
    else:
        area[start : start + page] = text.encode().ljust(page, b"\\0")
area[2 * page]  # only read
print(ctypes.addressof(ctypes.c_char.from_buffer(area)), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Machine:
    """A process that has memory like a VMM's."""

    process: ProcessIdentity
    address: int


@contextlib.contextmanager
def machine(base: Path | None, *, dropped: Collection[int] = ()) -> Iterator[Machine]:
    """A process whose memory begins as `base`, or empty, and has written to some of it.

    What is `dropped` it has given back afterwards, as a VMM does for a guest that frees it.
    """
    writes = [f"{number}={text.decode()}" for number, text in WRITTEN.items()] + [f"{ZEROED}="]
    writes += [f"{number}=DROP" for number in dropped]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(base or ""), str(PAGES), *writes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        address = int(child.stdout.readline())
        process = identify(child.pid)
        assert process is not None
        yield Machine(process, address)
        child.kill()


def make_target(path: Path, content: bytes | None) -> Path:
    if content is not None:
        path.write_bytes(content)
    else:
        path.touch()
        os.truncate(path, PAGES * PAGE)
    return path


def page_of(text: bytes) -> bytes:
    return text.ljust(PAGE, b"\0")


def test_pages_written_over_a_copy_of_what_the_memory_began_as(tmp_path: Path) -> None:
    """D8, A9: each byte is the process's; a page that it zeroed is zero; its file is as it was."""
    began = os.urandom(PAGES * PAGE)
    base = make_target(tmp_path / "base", began)
    target = make_target(tmp_path / "target", began)
    with machine(base) as made:
        write_memory(made.process, address=made.address, target=target)
    wanted = bytearray(began)
    for number, text in {**WRITTEN, ZEROED: b""}.items():
        wanted[number * PAGE : (number + 1) * PAGE] = page_of(text)
    assert target.read_bytes() == wanted
    assert base.read_bytes() == began


def test_only_own_pages_are_written(tmp_path: Path) -> None:
    """D7: what the process shares with its file is not copied, however large it is."""
    base = make_target(tmp_path / "base", b"\x55" * (PAGES * PAGE))
    target = make_target(tmp_path / "target", b"\xaa" * (PAGES * PAGE))
    with machine(base) as made:
        write_memory(made.process, address=made.address, target=target)
    content = target.read_bytes()
    own = {*WRITTEN, ZEROED}
    untouched = [n for n in range(PAGES) if content[n * PAGE : (n + 1) * PAGE] == b"\xaa" * PAGE]
    assert set(untouched) == set(range(PAGES)) - own


def test_holes_stay_holes(tmp_path: Path) -> None:
    """A10: memory that was never written, or is zero, takes no space."""
    target = make_target(tmp_path / "target", None)
    with machine(None) as made:
        write_memory(made.process, address=made.address, target=target)
    content = target.read_bytes()
    for number in range(PAGES):
        found = content[number * PAGE : (number + 1) * PAGE]
        assert found == page_of(WRITTEN.get(number, b"")), number
    assert len(WRITTEN) * PAGE <= target.stat().st_blocks * 512 < PAGES * PAGE // 2


@pytest.mark.parametrize("is_clone", [True, False])
def test_a_page_that_was_given_back_is_as_the_memory_began(tmp_path: Path, is_clone: bool) -> None:
    """D4, D8: of a clone what its file holds, of a machine that booted zeros."""
    began = os.urandom(PAGES * PAGE) if is_clone else bytes(PAGES * PAGE)
    base = make_target(tmp_path / "base", began) if is_clone else None
    target = make_target(tmp_path / "target", began if is_clone else None)
    dropped = [7, *range(400, 600)]
    with machine(base, dropped=dropped) as made:
        write_memory(made.process, address=made.address, target=target)
    wanted = bytearray(began)
    for number, text in {**WRITTEN, ZEROED: b""}.items():
        if number not in dropped:
            wanted[number * PAGE : (number + 1) * PAGE] = page_of(text)
    assert target.read_bytes() == wanted


def test_a_process_that_ended_has_no_memory(tmp_path: Path) -> None:
    """B2, H2."""
    target = make_target(tmp_path / "target", None)
    with machine(None) as made:
        pass
    with pytest.raises(VmmFailed, match="has ended"):
        write_memory(made.process, address=made.address, target=target)
    assert target.stat().st_blocks == 0


def test_a_zombie_has_no_memory(tmp_path: Path) -> None:
    """B2, H2: it is there by its pid, and nobody has waited for it yet."""
    target = make_target(tmp_path / "target", None)
    with machine(None) as made:
        os.kill(made.process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, made.process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(VmmFailed, match="has ended"):
            write_memory(made.process, address=made.address, target=target)


def test_another_process_with_its_pid_is_not_read(tmp_path: Path) -> None:
    """B2: the handle names the process's start, too."""
    target = make_target(tmp_path / "target", None)
    with machine(None) as made:
        other = replace(made.process, start_ticks=made.process.start_ticks + 1)
        with pytest.raises(VmmFailed, match="has ended"):
            write_memory(other, address=made.address, target=target)
    assert target.stat().st_blocks == 0


@pytest.mark.parametrize("address", [1 << 60, (1 << 64) - PAGE, (1 << 63) + PAGE])
def test_an_address_beyond_all_memory_is_refused(tmp_path: Path, address: int) -> None:
    """E2: a VMM that was taken over may say any address."""
    target = make_target(tmp_path / "target", None)
    with machine(None) as made, pytest.raises(VmmFailed, match="not where the VMM reports it"):
        write_memory(made.process, address=address, target=target)


def test_an_address_where_nothing_is_mapped_gives_nothing(tmp_path: Path) -> None:
    """E2: memory that was never touched looks the same: there is nothing to copy."""
    target = make_target(tmp_path / "target", None)
    with machine(None) as made:
        write_memory(made.process, address=NOWHERE, target=target)
    assert target.stat().st_blocks == 0
