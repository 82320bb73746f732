"""Which steps each verb takes, and in which order. Pure."""

from __future__ import annotations

from banger.model.names import VmId
from banger.model.vm import VmSpec, template_of
from banger.plan.steps import (
    BeginSaving,
    BootGuest,
    CloneDataDisk,
    EndNetwork,
    EndVmm,
    FlushGuest,
    GrowDataDisk,
    IdentifyGuest,
    LimitVm,
    MakeDataDisk,
    MakeHostKeys,
    MakeRuntimeDir,
    MakeVmDir,
    PauseVmm,
    PublishSnapshot,
    RehearseGuest,
    RemoveRuntimeDir,
    RemoveVmDir,
    ReplaceDataDisk,
    RestoreVmm,
    ResumeVmm,
    SaveMachine,
    SettleGuest,
    ShutDownGuest,
    SpawnVmm,
    StartEntrypoint,
    StartNetwork,
    Step,
)
from banger.words import NO_NETWORK

FLUSH_SHARE = 0.9
"""Of a stop's deadline: 54 s of the default 60, while 500 MiB of dirty pages at an emulated disk's
27 MB/s take 20 s."""

Plan = tuple[Step | tuple[Step, ...], ...]
"""Steps in order; those of an inner tuple do not depend on each other and go side by side."""


def plan_create(vm_id: VmId, spec: VmSpec) -> tuple[Step, ...]:
    """Everything durable that a VM is made of."""
    return (
        MakeVmDir(vm_id=vm_id),
        MakeDataDisk(vm_id=vm_id, size_mib=spec.shape.disk_mib),
        MakeHostKeys(vm_id=vm_id),
    )


def plan_start(vm_id: VmId, spec: VmSpec) -> Plan:
    """From nothing running to a guest that is ready."""
    return (
        GrowDataDisk(vm_id=vm_id, size_mib=spec.shape.disk_mib),
        MakeRuntimeDir(vm_id=vm_id),
        *_network(vm_id, spec),
        SpawnVmm(vm_id=vm_id),
        (LimitVm(vm_id=vm_id), BootGuest(vm_id=vm_id)),
        SettleGuest(vm_id=vm_id),
        *_entrypoint(vm_id, spec),
    )


def plan_clone(vm_id: VmId, spec: VmSpec, *, origin: str) -> Plan:
    """From nothing at all to a guest that is ready, without booting.

    The host keys are needed by the last step only: they are made while the VMM starts. What a
    snapshot's guest ran it goes on with.
    """
    return (
        MakeVmDir(vm_id=vm_id),
        MakeRuntimeDir(vm_id=vm_id),
        (CloneDataDisk(vm_id=vm_id, origin=origin), *_network(vm_id, spec)),
        (RestoreVmm(vm_id=vm_id, origin=origin), MakeHostKeys(vm_id=vm_id)),
        (LimitVm(vm_id=vm_id), IdentifyGuest(vm_id=vm_id)),
        *(_entrypoint(vm_id, spec) if template_of(origin) else ()),
    )


def plan_prepare(vm_id: VmId, spec: VmSpec, *, origin: str) -> Plan:
    """From nothing at all to a guest that is ready, and stands still until it is wanted."""
    return (
        *plan_clone(vm_id, spec, origin=origin),
        RehearseGuest(vm_id=vm_id),
        PauseVmm(vm_id=vm_id),
    )


def plan_restore(vm_id: VmId, spec: VmSpec, *, origin: str) -> Plan:
    """From a VM that does not run to the guest that was saved."""
    return (
        MakeRuntimeDir(vm_id=vm_id),
        (ReplaceDataDisk(vm_id=vm_id, origin=origin), *_network(vm_id, spec)),
        RestoreVmm(vm_id=vm_id, origin=origin),
        (LimitVm(vm_id=vm_id), IdentifyGuest(vm_id=vm_id)),
    )


def plan_snapshot(
    vm_id: VmId, *, snapshot: str, machine: str, name: str | None, is_paused: bool
) -> tuple[Step, ...]:
    """Save a VM as it is, and let it go on if it did.

    What its memory began as is copied before it is paused, and a named snapshot reaches the
    disk after: the guest stands still for what it has written itself.
    """
    saved = SaveMachine(vm_id=vm_id, snapshot=snapshot)
    return (
        BeginSaving(vm_id=vm_id, snapshot=snapshot),
        *((saved,) if is_paused else (PauseVmm(vm_id=vm_id), saved, ResumeVmm(vm_id=vm_id))),
        PublishSnapshot(vm_id=vm_id, snapshot=snapshot, machine=machine, name=name),
    )


def _network(vm_id: VmId, spec: VmSpec) -> tuple[Step, ...]:
    return (StartNetwork(vm_id=vm_id),) if spec.shape.network != NO_NETWORK else ()


def _entrypoint(vm_id: VmId, spec: VmSpec) -> tuple[Step, ...]:
    return (StartEntrypoint(vm_id=vm_id),) if spec.program.entrypoint else ()


def plan_stop(vm_id: VmId, *, deadline_s: float) -> tuple[Step, ...]:
    """End a guest without losing what it wrote, if that can be done in time.

    Nearly all of the time is the flush's, if it needs it: a guest whose data is flushed loses
    nothing by being ended without its own shutdown; one whose flush was cut does.
    """
    return (
        FlushGuest(vm_id=vm_id, deadline_s=deadline_s * FLUSH_SHARE),
        ShutDownGuest(vm_id=vm_id, deadline_s=deadline_s),
        *plan_kill(vm_id),
    )


def plan_kill(vm_id: VmId) -> tuple[Step, ...]:
    """End everything of a VM that runs."""
    return (EndVmm(vm_id=vm_id), EndNetwork(vm_id=vm_id), RemoveRuntimeDir(vm_id=vm_id))


def plan_delete(vm_id: VmId) -> tuple[Step, ...]:
    """End everything of a VM that runs, and remove what it was made of."""
    return (*plan_kill(vm_id), RemoveVmDir(vm_id=vm_id))
