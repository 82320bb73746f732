"""Put a VM's processes into a scope of their own, where the user has a service manager.

By that a VM has limits, and outlives the control group of its daemon (hazards B12, E5). One whose
scope cannot be made runs without, with the limits of its VMM's process alone, and the log says why.
Idempotent; a VM that is adopted without a scope gets one. Nothing has to be undone, nor is anything
left if the process dies: a scope ends with its last process.
"""

from __future__ import annotations

import logging
from typing import Any

from banger.engine.state.machine import Machine
from banger.engine.steps.actor import Actor
from banger.errors import BangerError
from banger.host.limits import Scope, find_service_manager, is_in_scope, name_scope, start_scope
from banger.plan.steps import LimitVm

SCOPE_DEADLINE_S = 5.0
"""A manager answers within milliseconds; a VM is not kept longer by one that hangs."""

log = logging.getLogger(__name__)


async def limit_vm(machine: Machine) -> None:
    """Have a VM's processes in a scope of their own, if the host has any."""
    engine = machine.engine
    manager = find_service_manager(engine.layout.runtime.parent)
    if manager is None or not engine.may_make_scopes() or machine.vmm is None:
        return
    if is_in_scope(machine.vmm.process, name_scope(machine.id)):
        return
    try:
        await start_scope(manager, _plan_scope(machine), deadline_s=SCOPE_DEADLINE_S)
    except BangerError as error:
        log.warning("%s runs without a scope: %s", machine.id, error.message)


def _plan_scope(machine: Machine) -> Scope:
    limits = machine.kind.plan_limits(machine.record.spec)
    return Scope(
        name=name_scope(machine.id),
        description=f"VM {machine.id} of banger",
        processes=machine.processes,
        memory_bytes=limits.memory_bytes,
        cpu_percent=limits.cpu_percent,
        tasks=limits.tasks,
    )


async def _limit_vm(machine: Machine, _: LimitVm) -> None:
    await limit_vm(machine)


ACTORS: tuple[Actor[Any], ...] = (Actor(LimitVm, _limit_vm),)
