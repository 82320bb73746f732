"""What a process takes of the host, as its kernel counts it: processor time and memory.

Reads a clock and /proc; changes nothing, takes no locks. To read of another process's memory
takes the permission that reading the memory itself does (`vmm.memory`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from banger.host.identity import ProcessIdentity, is_alive

_CPUCLOCK_SCHED = 2


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """A process's memory, in bytes; proc(5) has the words, under `smaps`."""

    resident: int
    """Everything that it has in memory; `private` and `shared` are its parts."""
    private: int
    """Pages that no other process has. They are free when it ends."""
    shared: int
    """Pages that others have as well: of a template's memory, of programs."""
    proportional: int
    """`private`, and of each shared page one part in as many as have it. Over all who have them
    shared pages so add up to what they take once."""


def read_cpu_s(process: ProcessIdentity) -> float | None:
    """Return the processor time that this very process has used so far; None if it has ended.

    In nanoseconds, and with that of its threads which have ended: /proc counts in hundredths.
    """
    # The clock's number is the kernel's ABI: MAKE_PROCESS_CPUCLOCK in linux/posix-timers.h, which
    # clock_getcpuclockid(3) returns.
    clock = (~process.pid << 3) | _CPUCLOCK_SCHED
    try:
        used = time.clock_gettime(clock)
    except OSError:
        return None
    return used if is_alive(process) else None


def read_memory(process: ProcessIdentity) -> MemoryUse | None:
    """Return the memory that this very process has now; None if it has ended.

    Raises:
        PermissionError: the host does not let us look.
    """
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except PermissionError:
        if not is_alive(process):  # nobody has waited for it yet
            return None
        raise
    return parse_rollup(text) if is_alive(process) else None


def parse_rollup(text: str) -> MemoryUse | None:
    """Return what a `smaps_rollup` says; None for the empty one of a process that is ending."""
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
