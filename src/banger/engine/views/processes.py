"""List a guest's processes, as reported by its agent. Changes nothing (B8); takes no locks."""

from __future__ import annotations

from banger import guest
from banger.api.method import serves
from banger.api.usage import GuestProcess
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm
from banger.guest import ListedProcess

DEADLINE_S = 30.0
"""For the agent's answer; a busy emulated guest takes a second."""


@serves("vm.processes")
async def list_processes(engine: Engine, ref: str) -> list[GuestProcess]:
    """Return what runs in a VM, by pid.

    Raises:
        WrongState: the VM does not run.
        GuestGone, DeadlineExceeded: its agent does not answer.
        GuestRefused: its agent is too old.
    """
    connection = await get_connection(engine, await get_vm(engine, ref))
    found = await guest.list_processes(connection, deadline_s=DEADLINE_S)
    found.sort(key=lambda each: each.pid)
    return [view_process(each, now=engine.now()) for each in found]


def view_process(process: ListedProcess, *, now: float) -> GuestProcess:
    """Return a process as users see it. Pure."""
    return GuestProcess(
        pid=process.pid,
        parent=process.parent,
        user=process.user.decode(errors="replace") or str(process.uid),
        state=process.state,
        of_kernel=process.is_of_kernel,
        cpu_percent=round(100 * process.cpu_ns / max(process.age_ns, 1), 1),
        cpu_s=process.cpu_ns / 1e9,
        started_at=now - process.age_ns / 1e9,
        resident_bytes=process.resident_bytes,
        command=process.command.decode(errors="replace"),
    )
