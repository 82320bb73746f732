"""The kernel's limits of one process (setrlimit(2)).

Such limits work on every host and cost one system call each. Changes only the given process,
which keeps its limits if the caller dies.
"""

from __future__ import annotations

import logging
import resource
from collections.abc import Mapping

from banger.host.identity import ProcessIdentity, is_alive

log = logging.getLogger(__name__)

STACK_BYTES = 8 * 2**20
"""Largest default stack of a thread where stacks are unlimited (pthread_create(3))."""


def read_stack_bytes() -> int:
    """Return the stack size of each thread in programs that banger starts."""
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return STACK_BYTES if soft == resource.RLIM_INFINITY else soft


def limit_process(process: ProcessIdentity, limits: Mapping[int, int]) -> None:
    """Apply `limits`, by RLIMIT_ number, to a process; do nothing if it has ended.

    Never raises a limit that is already lower; nor can the process raise a limit again. A process
    that currently belongs to another user, such as a child of a setuid program, stays unchanged.
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
