"""Which steps each verb takes, and in which order. Pure."""

from __future__ import annotations

from banger.model.names import VmId
from banger.model.vm import NetworkKind, VmSpec
from banger.plan.steps import (
    BootGuest,
    EndNetwork,
    EndVmm,
    FlushGuest,
    MakeDataDisk,
    MakeHostKeys,
    MakeRuntimeDir,
    MakeVmDir,
    RemoveRuntimeDir,
    RemoveVmDir,
    SettleGuest,
    ShutDownGuest,
    SpawnVmm,
    StartNetwork,
    Step,
)


def plan_create(vm_id: VmId, spec: VmSpec) -> tuple[Step, ...]:
    """Everything durable that a VM is made of."""
    return (
        MakeVmDir(vm_id=vm_id),
        MakeDataDisk(vm_id=vm_id, size_mib=spec.disk_mib),
        MakeHostKeys(vm_id=vm_id),
    )


def plan_start(vm_id: VmId, spec: VmSpec) -> tuple[Step, ...]:
    """From nothing running to a guest that is ready."""
    network: tuple[Step, ...] = ()
    if spec.network is NetworkKind.USER:
        network = (StartNetwork(vm_id=vm_id),)
    return (
        MakeRuntimeDir(vm_id=vm_id),
        *network,
        SpawnVmm(vm_id=vm_id),
        BootGuest(vm_id=vm_id),
        SettleGuest(vm_id=vm_id),
    )


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
