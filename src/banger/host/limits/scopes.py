"""A scope for each VM: a control group with limits, managed by the user's service manager.

A daemon's children are in the daemon's control group and end with it: with a service, a login
session, a terminal (hazard B12). A scope adopts processes that already run:

    StartTransientUnit(name, "fail", [PIDs, limits]) -> job
    JobRemoved(job, result)

The manager moves the processes before it reports that the job is done; it moves processes of a
login session, which it does not own, through the system's manager. The scope ends with its last
process, also after a failure, so there is nothing to remove. If this process dies before the
answer, the scope may or may not exist: both are correct, and the next daemon checks again.

The call takes pids. The pid of a process that is not a child may be reused before the manager
reads it (B2). The risk is accepted: the window is short, and at worst another process of the same
user gets limits.

Starts no process, writes no file, takes no locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from banger.errors import DeadlineExceeded, HostFailed
from banger.host.identity import ProcessIdentity, is_alive

RETRY_S = 0.05
"""Pause before a retry while an old scope has the name: the manager must first notice its end."""

Property = tuple[str, tuple[str, object]]
"""Name, D-Bus type, value."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A scope to start."""

    name: str
    description: str
    processes: tuple[ProcessIdentity, ...]
    memory_bytes: int
    """Limit for all processes together, including the page cache of their files."""
    cpu_percent: int
    """Per cent of one CPU: 200 is two CPUs."""
    tasks: int
    """Limit for processes and threads."""


def name_scope(vm_id: str) -> str:
    """Return the name of a VM's scope."""
    return f"banger-{vm_id}.scope"


def render_properties(scope: Scope) -> list[Property]:
    """Return the unit's properties, as in org.freedesktop.systemd1(5). Pure."""
    return [
        ("Description", ("s", scope.description)),
        ("PIDs", ("au", [process.pid for process in scope.processes])),
        ("MemoryMax", ("t", scope.memory_bytes)),
        ("CPUQuotaPerSecUSec", ("t", scope.cpu_percent * 10_000)),
        ("TasksMax", ("t", scope.tasks)),
        # Collect failed scopes, too: they would stay until reset by hand.
        ("CollectMode", ("s", "inactive-or-failed")),
    ]


async def start_scope(manager: Path, scope: Scope, *, deadline_s: float) -> None:
    """Move the processes into a scope of their own; return when they are in it.

    Raises:
        HostFailed: the manager refuses, or does not move them all.
        DeadlineExceeded: the manager does not answer in time.
    """
    from banger.host.limits import conversation

    properties = render_properties(scope)
    try:
        async with asyncio.timeout(deadline_s):
            made = await conversation.start_unit(manager, scope.name, properties)
            while not made:
                await asyncio.sleep(RETRY_S)
                made = await conversation.start_unit(manager, scope.name, properties)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"The service manager did not make {scope.name} within {deadline_s:g} s."
        ) from error
    outside = _find_outside(scope.name, scope.processes)
    if outside:
        numbers = ", ".join(str(process.pid) for process in outside)
        raise HostFailed(
            f"The service manager did not move all processes of {scope.name}: {numbers}."
        )


def is_in_scope(process: ProcessIdentity, name: str) -> bool:
    """Tell whether a process is in the scope of this name."""
    try:
        text = Path(f"/proc/{process.pid}/cgroup").read_text("utf-8", "replace")
    except OSError:
        return False
    return any(line.endswith(f"/{name}") for line in text.splitlines()) and is_alive(process)


def _find_outside(name: str, processes: Sequence[ProcessIdentity]) -> list[ProcessIdentity]:
    return [one for one in processes if is_alive(one) and not is_in_scope(one, name)]
