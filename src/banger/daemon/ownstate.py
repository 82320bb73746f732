"""A process state of the daemon's own, whatever shell happened to start it.

A daemon lives longer than that shell and serves others: what the shell had ignored or limited would
hold for all of them, and for every VMM. A nice value stays, since only root can take it back.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal

IGNORED = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Python ignores these itself, and reports what they would tell as errors."""
UMASK = 0o022
OPEN_FILES = 65536
"""Enough; with millions, programs that close every possible descriptor take minutes."""
RAISED = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_MEMLOCK,
    resource.RLIMIT_NPROC,
)


def take_own_state() -> None:
    """Set directory, umask, signals and limits of this process."""
    os.chdir("/")
    os.umask(UMASK)
    _reset_signals()
    for limit in RAISED:
        _raise_to(limit, resource.RLIM_INFINITY)
    _raise_to(resource.RLIMIT_NOFILE, OPEN_FILES)
    # Inherited by every VMM: a core would hold its guest's memory, secrets and all (G6).
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _reset_signals() -> None:
    for number in signal.valid_signals() - IGNORED:
        if signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _raise_to(limit: int, wanted: int) -> None:
    """Raise a soft limit to `wanted`, or as far as the hard limit allows; never lower it."""
    soft, hard = resource.getrlimit(limit)
    infinity = resource.RLIM_INFINITY
    if wanted == infinity or (hard != infinity and hard < wanted):
        wanted = hard
    if soft != infinity and (wanted == infinity or soft < wanted):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (wanted, hard))
