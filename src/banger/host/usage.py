"""A process's use of the host, as the kernel counts it: CPU time and memory.

Reads a clock and /proc; changes nothing, takes no locks. Reading a process's memory use needs the
same permission as reading its memory (`vmm.memory`).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from banger.host.identity import ProcessIdentity, is_alive

_CPUCLOCK_SCHED = 2


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """A process's memory, in bytes; proc(5) has the words, under `smaps`."""

    resident: int
    """All resident memory: the sum of `private` and `shared`."""
    private: int
    """Pages that no other process maps, which are freed when the process ends."""
    shared: int
    """Pages that other processes also map, such as a template's memory and programs."""
    proportional: int
    """`private`, plus each shared page divided by the number of processes that map it. So summed
    over those processes, each shared page counts once."""


def read_cpu_s(process: ProcessIdentity) -> float | None:
    """Return the CPU seconds that exactly this process has used so far; None if it has ended.

    Has nanosecond resolution, where /proc counts hundredths of a second; includes ended threads.
    """
    # The clock's number is the kernel's ABI: MAKE_PROCESS_CPUCLOCK in linux/posix-timers.h, which
    # clock_getcpuclockid(3) returns.
    clock = (~process.pid << 3) | _CPUCLOCK_SCHED
    try:
        used = time.clock_gettime(clock)
    except OSError:
        return None
    return used if is_alive(process) else None


def read_size_kib(process: ProcessIdentity) -> tuple[int, int] | None:
    """Return the resident and the anonymous memory of the process; None if it has ended.

    A caller that has to know that the pid is still this process's calls `read_cpu_s` afterwards.

    Costs the kernel no walk over the process's pages, as `read_memory` does, and needs no
    permission. Anonymous memory is freed when the process ends; pages of files are not counted.
    """
    try:
        text = Path(f"/proc/{process.pid}/statm").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return None
    _, resident, of_files, *_ = map(int, text.split())
    page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
    return resident * page_kib, (resident - of_files) * page_kib


def read_memory(process: ProcessIdentity) -> MemoryUse | None:
    """Return the memory that exactly this process uses now; None if it has ended.

    Raises:
        PermissionError: the host does not allow reading it.
    """
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except PermissionError:
        if not is_alive(process):  # a zombie
            return None
        raise
    return parse_rollup(text) if is_alive(process) else None


def parse_rollup(text: str) -> MemoryUse | None:
    """Parse a `smaps_rollup`; None if it is empty, as for a process that is ending."""
    kib: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        name, _, value = line.partition(":")
        kib[name] = int(value.split()[0])
    if not kib:
        return None
    return MemoryUse(
        resident=kib["Rss"] * 1024,
        private=(kib["Private_Clean"] + kib["Private_Dirty"]) * 1024,
        shared=(kib["Shared_Clean"] + kib["Shared_Dirty"]) * 1024,
        proportional=kib["Pss"] * 1024,
    )
