"""What processes use, of real processes."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from dataclasses import replace

from banger.host.identity import identify
from banger.host.usage import MemoryUse, parse_rollup, read_cpu_s, read_memory

ROLLUP = """\
55d0c8e4f000-7ffd5b3f9000 ---p 00000000 00:00 0                          [rollup]
Rss:              112640 kB
Pss:               74752 kB
Pss_Dirty:         47104 kB
Pss_Anon:          47104 kB
Pss_File:          27648 kB
Pss_Shmem:             0 kB
Shared_Clean:      60416 kB
Shared_Dirty:       1024 kB
Private_Clean:      5120 kB
Private_Dirty:     46080 kB
"""


def test_the_kernels_words_become_bytes() -> None:
    assert parse_rollup(ROLLUP) == MemoryUse(
        resident=112640 * 1024,
        private=51200 * 1024,
        shared=61440 * 1024,
        proportional=74752 * 1024,
    )
    assert parse_rollup("") is None


def test_what_we_use_ourselves() -> None:
    """Memory grows by what was touched and by no more; time is the kernel's for all threads."""
    me = identify(os.getpid())
    assert me is not None
    before = read_memory(me)
    with mmap.mmap(-1, 32 * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.write(b"x" * len(area))
        after = read_memory(me)
    assert before is not None and after is not None
    assert 24 * 2**20 < after.private - before.private < 64 * 2**20
    assert after.resident == after.private + after.shared
    first, mine, last = time.process_time(), read_cpu_s(me), time.process_time()
    assert mine is not None and first <= mine <= last


def test_a_process_that_ended_uses_nothing() -> None:
    """B2: nor does another one that has its pid."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = identify(child.pid)
        assert process is not None
        other = replace(process, start_ticks=process.start_ticks + 1)
        assert read_cpu_s(other) is None and read_memory(other) is None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert read_cpu_s(process) is None and read_memory(process) is None, "a zombie"
    assert read_cpu_s(process) is None and read_memory(process) is None
