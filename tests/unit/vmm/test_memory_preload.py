"""The memory preload library in a process: it keeps the memory file, and changes nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from banger.vmm.qemu.memory_preload import preload_variables
from tests.support.native import build_shared

HEAD = """
import ctypes, errno, os, sys
path = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)  # what is preloaded comes first
PUNCH, KEEP = 2, 1
def punch(fd):
    size = ctypes.c_long
    for name in ("fallocate", "fallocate64"):
        if libc[name](fd, PUNCH | KEEP, size(0), size(8192)):
            raise OSError(ctypes.get_errno(), name)
"""


@pytest.fixture(scope="module")
def preload() -> Path:
    """The library, built from the sources of now."""
    return build_shared("memory-preload", "banger-memory-preload.so")


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    path = tmp_path / "memory"
    path.write_bytes(b"m" * 16384)
    path.chmod(0o400)
    return path


def run(preload: Path, memory: Path, script: str, *arguments: Path) -> None:
    """Run a script in a Python that has the library loaded for `memory`."""
    subprocess.run(
        [sys.executable, "-c", HEAD + script, *map(str, arguments or (memory,))],
        env={**os.environ, **preload_variables(str(preload), memory)},
        check=True,
        timeout=60,
    )


@pytest.mark.parametrize("function", ["open", "open64", "__open_2", "__open64_2"])
def test_the_memory_file_is_opened_for_reading(preload: Path, memory: Path, function: str) -> None:
    """D8, E5: whichever of libc's functions the VMM calls; it cannot tell, until it writes."""
    script = f"""
fd = libc[{function!r}](path.encode(), os.O_RDWR | os.O_CLOEXEC)
assert fd >= 0, ctypes.get_errno()
assert os.get_inheritable(fd) is False
try:
    os.write(fd, b"x")
except OSError as error:
    assert error.errno == errno.EBADF
else:
    raise AssertionError("it was written")
import mmap
area = mmap.mmap(fd, 16384, flags=mmap.MAP_PRIVATE)
area[0] = 1
"""
    run(preload, memory, script)
    assert memory.read_bytes() == b"m" * 16384


def test_a_hole_in_the_memory_file_is_none_and_no_error(preload: Path, memory: Path) -> None:
    """D8: what QEMU does next is what gives a page back."""
    run(preload, memory, "punch(os.open(path, os.O_RDWR))")
    assert memory.read_bytes() == b"m" * 16384


def test_every_other_file_is_as_it_was(preload: Path, memory: Path, tmp_path: Path) -> None:
    """A9: the data disk's holes are holes, and failures are failures."""
    disk = tmp_path / "disk"
    disk.write_bytes(b"d" * 16384)
    script = """
fd = os.open(path, os.O_RDWR)
punch(fd)
os.close(fd)
for broken in (fd, -1):
    try:
        punch(broken)
    except OSError as error:
        assert error.errno == errno.EBADF
    else:
        raise AssertionError("a descriptor that is none")
os.close(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
try:
    os.open(path + "/", os.O_RDONLY)
except OSError as error:
    assert error.errno == errno.ENOTDIR
"""
    old = os.umask(0)
    try:
        run(preload, memory, script, disk)
    finally:
        os.umask(old)
    assert disk.read_bytes() == bytes(8192) + b"d" * 8192
    assert (tmp_path / "disk.new").stat().st_mode & 0o777 == 0o640


def test_a_process_without_a_memory_file_is_not_touched(preload: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"d" * 16384)
    subprocess.run(
        [sys.executable, "-c", HEAD + "punch(os.open(path, os.O_RDWR))", str(disk)],
        env={**os.environ, "LD_PRELOAD": str(preload)},
        check=True,
        timeout=60,
    )
    assert disk.read_bytes() == bytes(8192) + b"d" * 8192


def test_small_blocks_get_no_huge_page(preload: Path, memory: Path) -> None:
    """Other advice, and that for larger blocks, reaches the kernel: it sees that it is wrong."""
    script = """
import mmap
block = mmap.mmap(-1, 2 * 2**21)
start = ctypes.addressof(ctypes.c_char.from_buffer(block))
def advise(length, advice):
    return libc.madvise(ctypes.c_void_p(start + 1), ctypes.c_size_t(length), advice)
assert advise(2**21, 14) == 0  # not aligned: the kernel would not have it
assert advise(2**21 + 1, 14) == -1 and ctypes.get_errno() == errno.EINVAL
assert advise(4096, mmap.MADV_DONTNEED) == -1 and ctypes.get_errno() == errno.EINVAL
"""
    run(preload, memory, script)
