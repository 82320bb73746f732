"""Process state of the daemon, independent of the shell that started it.

A daemon outlives that shell and serves others: the shell's ignored signals and limits would apply
to all of them, and to every VMM. A nice value stays, since only root can lower it again.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal

IGNORED = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Ignored by Python itself, which raises the corresponding errors instead."""
UMASK = 0o022
OPEN_FILES = 65536
"""Soft limit; with millions, programs that close every possible descriptor take minutes."""
RAISED = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_MEMLOCK,
    resource.RLIMIT_NPROC,
)


def take_own_state() -> None:
    """Set the directory, umask, signals and limits of this process."""
    os.chdir("/")
    os.umask(UMASK)
    _reset_signals()
    for limit in RAISED:
        _raise_to(limit, resource.RLIM_INFINITY)
    _raise_to(resource.RLIMIT_NOFILE, OPEN_FILES)
    # Inherited by every VMM: a core dump would contain its guest's memory with all secrets (G6).
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _reset_signals() -> None:
    for number in signal.valid_signals() - IGNORED:
        if signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _raise_to(limit: int, wanted: int) -> None:
    """Raise a soft limit to `wanted` or to the hard limit if that is lower; never lower it."""
    soft, hard = resource.getrlimit(limit)
    infinity = resource.RLIM_INFINITY
    if wanted == infinity or (hard != infinity and hard < wanted):
        wanted = hard
    if soft != infinity and (wanted == infinity or soft < wanted):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (wanted, hard))
