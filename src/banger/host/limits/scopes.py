"""A scope for each VM: a control group with limits, kept by the user's service manager.

What is started by a daemon is in the daemon's control group, and ends when somebody ends that: a
service, a login session, a terminal (hazard B12). A scope takes processes that run already:

    StartTransientUnit(name, "fail", [PIDs, limits]) -> job
    JobRemoved(job, result)

The manager moves them before it says that the job is done; those of a login session, which are
not its own, by way of the system's manager. The scope ends with its last process, also after a
failure, so there is nothing to remove. If we die before the answer it was made or was not: either
is fine, and the next daemon looks again.

It takes pids. One that is not our child's could be another process's by the time it is looked at
(B2): of all of the same user, which then has limits, so that is left to the shortness of the time.

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
"""Until the last scope of this name is gone: its manager has to see that its processes ended."""

Property = tuple[str, tuple[str, object]]
"""Name, D-Bus type, value."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A scope that is to be."""

    name: str
    description: str
    processes: tuple[ProcessIdentity, ...]
    memory_bytes: int
    """Of all processes together, with the pages of files that were read for them."""
    cpu_percent: int
    """Of one processor: 200 is two of them."""
    tasks: int
    """Processes and threads."""


def name_scope(vm_id: str) -> str:
    """Return the name of a VM's scope."""
    return f"banger-{vm_id}.scope"


def render_properties(scope: Scope) -> list[Property]:
    """Return the unit's properties, as org.freedesktop.systemd1(5) has them. Pure."""
    return [
        ("Description", ("s", scope.description)),
        ("PIDs", ("au", [process.pid for process in scope.processes])),
        ("MemoryMax", ("t", scope.memory_bytes)),
        ("CPUQuotaPerSecUSec", ("t", scope.cpu_percent * 10_000)),
        ("TasksMax", ("t", scope.tasks)),
        # Also one that failed: it would stay until somebody looked.
        ("CollectMode", ("s", "inactive-or-failed")),
    ]


async def start_scope(manager: Path, scope: Scope, *, deadline_s: float) -> None:
    """Have the processes moved into a scope of their own; returns when they are in it.

    Raises:
        HostFailed: the manager refuses, or does not do it.
        DeadlineExceeded: it does not answer in time.
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
        raise HostFailed(f"The service manager did not move all of {scope.name}: {numbers}.")


def is_in_scope(process: ProcessIdentity, name: str) -> bool:
    """Tell whether a process is in the scope of this name."""
    try:
        text = Path(f"/proc/{process.pid}/cgroup").read_text("utf-8", "replace")
    except OSError:
        return False
    return any(line.endswith(f"/{name}") for line in text.splitlines()) and is_alive(process)


def _find_outside(name: str, processes: Sequence[ProcessIdentity]) -> list[ProcessIdentity]:
    return [one for one in processes if is_alive(one) and not is_in_scope(one, name)]
