"""Limits of one process, as the kernel keeps them for each (setrlimit(2)).

They hold on every host and cost one system call each. Changes the process that it is given, and
nothing else; what they are stays with it if we die.
"""

from __future__ import annotations

import logging
import resource
from collections.abc import Mapping

from banger.host.identity import ProcessIdentity, is_alive

log = logging.getLogger(__name__)

STACK_BYTES = 8 * 2**20
"""What a thread gets, at most, where stacks have no limit (pthread_create(3))."""


def read_stack_bytes() -> int:
    """Return what each thread's stack has in programs that we start."""
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return STACK_BYTES if soft == resource.RLIM_INFINITY else soft


def limit_process(process: ProcessIdentity, limits: Mapping[int, int]) -> None:
    """Hold a process of ours to `limits`, by RLIMIT_ number; fine if it has ended.

    Never raises a limit that is lower already, and the process cannot raise one either. One that
    is another user's at this moment, as the child of a sandbox that is setuid, stays as it is.
    """
    if not is_alive(process):
        return
    try:
        for number, limit in limits.items():
            _, hard = resource.prlimit(process.pid, number)
            value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.prlimit(process.pid, number, (value, value))
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("the host does not let us limit process %d", process.pid)
