"""Put what runs of a VM into a scope of its own, where the user has a service manager.

By that a VM has limits, and outlives the control group of its daemon (hazards B12, E5). One whose
scope cannot be made runs without, with the limits of its VMM's process alone, and the log says why.
Idempotent; a VM that is adopted without a scope gets one. Nothing has to be undone, nor is anything
left if the process dies: a scope ends with its last process.
"""

from __future__ import annotations

import logging

from banger import network, store
from banger.engine.engine import Engine
from banger.engine.lookup import reload_vm
from banger.engine.views.queries import load_vmm_handle, parse_handle
from banger.errors import BangerError
from banger.host.limits import Scope, find_service_manager, is_in_scope, name_scope, start_scope
from banger.host.process import ProcessIdentity
from banger.model.names import VmId
from banger.model.vm import VmRecord
from banger.vmm.limits import plan_limits

SCOPE_DEADLINE_S = 5.0
"""A manager answers within milliseconds; a VM is not kept longer by one that hangs."""

log = logging.getLogger(__name__)


async def limit_vm(engine: Engine, vm_id: VmId) -> None:
    """Have a VM's processes in a scope of their own, if the host has any."""
    manager = find_service_manager(engine.layout.runtime.parent)
    if manager is None or not engine.may_make_scopes():
        return
    handle = await load_vmm_handle(engine, vm_id)
    if handle is None or is_in_scope(handle.process, name_scope(vm_id)):
        return
    record = await reload_vm(engine, vm_id)
    scope = _plan_scope(record, await load_processes(engine, vm_id))
    try:
        await start_scope(manager, scope, deadline_s=SCOPE_DEADLINE_S)
    except BangerError as error:
        log.warning("%s runs without a scope: %s", vm_id, error.message)


async def load_processes(engine: Engine, vm_id: VmId) -> tuple[ProcessIdentity, ...]:
    """Return every process that a handle of the VM names."""
    found: list[ProcessIdentity | None] = []
    if (handle := await load_vmm_handle(engine, vm_id)) is not None:
        found += [handle.process, handle.monitor]
    handles = await engine.database.read(store.load_handles, vm_id)
    if payload := handles.get("network"):
        net = parse_handle(payload, network.NetworkHandle)
        found += [net.guard, net.passt] if net is not None else []
    return tuple(process for process in found if process is not None)


def _plan_scope(record: VmRecord, processes: tuple[ProcessIdentity, ...]) -> Scope:
    spec = record.spec
    limits = plan_limits(vcpu=spec.vcpu, memory_mib=spec.memory_mib, accel=spec.accel)
    return Scope(
        name=name_scope(record.id),
        description=f"VM {record.id} of banger",
        processes=processes,
        memory_bytes=limits.memory_bytes,
        cpu_percent=limits.cpu_percent,
        tasks=limits.tasks,
    )
