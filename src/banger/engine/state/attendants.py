"""Attendants: tasks that live while a VM has a VMM, such as the one that watches for its end.

The table is `engine.attendants`; `became` starts and ends them. They belong to the engine's tasks,
so they end with the daemon, and the next daemon starts them for the VMs that it adopts. Nothing of
them is saved. Takes no locks.
"""

from __future__ import annotations

import asyncio

from banger.engine.state.machine import Machine
from banger.engine.state.runtime import VmRuntime


def start_attendants(machine: Machine) -> None:
    """Start each attendant of a VM that does not run yet."""
    engine, runtime, vmm = machine.engine, machine.runtime, machine.vmm
    if vmm is None:
        return  # the row of its handle is damaged: there is nothing to attend to (B9)
    runtime.vmm = vmm.process
    for attendant in engine.attendants:
        task = runtime.attendants.get(attendant.name)
        if task is None or task.done():
            work = attendant.attend(engine, machine.id, vmm)
            runtime.attendants[attendant.name] = engine.tasks.start(work)


def end_attendants(runtime: VmRuntime) -> None:
    """End the attendants of a VM, but for one that asks for this; wait for none."""
    tasks, runtime.attendants, runtime.vmm = runtime.attendants, {}, None
    for task in tasks.values():
        if task is not asyncio.current_task():
            task.cancel()
