"""Which steps each verb takes, and in which order. Pure."""

from __future__ import annotations

from banger.model.names import VmId
from banger.model.vm import NetworkKind, VmSpec
from banger.plan.steps import (
    BootGuest,
    CloneDataDisk,
    EndNetwork,
    EndVmm,
    FlushGuest,
    IdentifyGuest,
    MakeDataDisk,
    MakeHostKeys,
    MakeRuntimeDir,
    MakeVmDir,
    RemoveRuntimeDir,
    RemoveVmDir,
    RestoreVmm,
    SettleGuest,
    ShutDownGuest,
    SpawnVmm,
    StartNetwork,
    Step,
)

Plan = tuple[Step | tuple[Step, ...], ...]
"""Steps in order; those of an inner tuple do not depend on each other and go side by side."""


def plan_create(vm_id: VmId, spec: VmSpec) -> tuple[Step, ...]:
    """Everything durable that a VM is made of."""
    return (
        MakeVmDir(vm_id=vm_id),
        MakeDataDisk(vm_id=vm_id, size_mib=spec.disk_mib),
        MakeHostKeys(vm_id=vm_id),
    )


def plan_start(vm_id: VmId, spec: VmSpec) -> tuple[Step, ...]:
    """From nothing running to a guest that is ready."""
    return (
        MakeRuntimeDir(vm_id=vm_id),
        *_network(vm_id, spec),
        SpawnVmm(vm_id=vm_id),
        BootGuest(vm_id=vm_id),
        SettleGuest(vm_id=vm_id),
    )


def plan_clone(vm_id: VmId, spec: VmSpec, *, template: str) -> Plan:
    """From nothing at all to a guest that is ready, without booting.

    The host keys are needed by the last step only: they are made while the VMM starts.
    """
    return (
        MakeVmDir(vm_id=vm_id),
        MakeRuntimeDir(vm_id=vm_id),
        (CloneDataDisk(vm_id=vm_id, template=template), *_network(vm_id, spec)),
        (RestoreVmm(vm_id=vm_id, template=template), MakeHostKeys(vm_id=vm_id)),
        IdentifyGuest(vm_id=vm_id),
    )


def _network(vm_id: VmId, spec: VmSpec) -> tuple[Step, ...]:
    return (StartNetwork(vm_id=vm_id),) if spec.network is NetworkKind.USER else ()


def plan_stop(vm_id: VmId, *, deadline_s: float) -> tuple[Step, ...]:
    """End a guest without losing what it wrote."""
    return (
        FlushGuest(vm_id=vm_id),
        ShutDownGuest(vm_id=vm_id, deadline_s=deadline_s),
        *plan_kill(vm_id),
    )


def plan_kill(vm_id: VmId) -> tuple[Step, ...]:
    """End everything of a VM that runs."""
    return (EndVmm(vm_id=vm_id), EndNetwork(vm_id=vm_id), RemoveRuntimeDir(vm_id=vm_id))


def plan_delete(vm_id: VmId) -> tuple[Step, ...]:
    """End everything of a VM that runs, and remove what it was made of."""
    return (*plan_kill(vm_id), RemoveVmDir(vm_id=vm_id))
