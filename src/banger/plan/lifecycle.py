"""The steps of each verb, in order. Pure."""

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
    ProtectWorkspace,
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
"""The flush's share of a stop's deadline: 54 s of the default 60. Measured: an emulated disk writes
27 MB/s, so 500 MiB of dirty pages take 20 s."""

Plan = tuple[Step | tuple[Step, ...], ...]
"""Steps in order; those in an inner tuple are independent and run concurrently."""


def plan_create(vm_id: VmId, spec: VmSpec) -> tuple[Step, ...]:
    """Create a VM's durable files."""
    return (
        MakeVmDir(vm_id=vm_id),
        MakeDataDisk(vm_id=vm_id, size_mib=spec.shape.disk_mib),
        MakeHostKeys(vm_id=vm_id),
    )


def plan_start(vm_id: VmId, spec: VmSpec, *, read_only: str | None = None) -> Plan:
    """Boot a stopped VM until its guest is ready. `read_only`: the path of such a workspace."""
    return (
        GrowDataDisk(vm_id=vm_id, size_mib=spec.shape.disk_mib),
        MakeRuntimeDir(vm_id=vm_id),
        *_network(vm_id, spec),
        SpawnVmm(vm_id=vm_id),
        (LimitVm(vm_id=vm_id), BootGuest(vm_id=vm_id)),
        SettleGuest(vm_id=vm_id),
        *((ProtectWorkspace(vm_id=vm_id, path=read_only),) if read_only else ()),
        *_entrypoint(vm_id, spec),
    )


def plan_clone(vm_id: VmId, spec: VmSpec, *, origin: str) -> Plan:
    """Create a VM and bring its guest to readiness from a saved machine, without booting.

    Only the last steps need the host keys, so they are made while the VMM starts. The entry
    point starts only from a template; a snapshot's guest keeps running its processes.
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
    """Clone a VM for the pool: like `plan_clone`, then pause it until it is claimed."""
    return (
        *plan_clone(vm_id, spec, origin=origin),
        RehearseGuest(vm_id=vm_id),
        PauseVmm(vm_id=vm_id),
    )


def plan_restore(vm_id: VmId, spec: VmSpec, *, origin: str) -> Plan:
    """Restore a stopped VM to its saved guest."""
    return (
        MakeRuntimeDir(vm_id=vm_id),
        (ReplaceDataDisk(vm_id=vm_id, origin=origin), *_network(vm_id, spec)),
        RestoreVmm(vm_id=vm_id, origin=origin),
        (LimitVm(vm_id=vm_id), IdentifyGuest(vm_id=vm_id)),
    )


def plan_snapshot(
    vm_id: VmId, *, snapshot: str, machine: str, name: str | None, is_paused: bool
) -> tuple[Step, ...]:
    """Save a VM's current state; resume it unless it was paused already.

    The memory that the VM started from is copied before the pause, and a named snapshot is
    flushed to disk after it: the pause lasts only as long as saving the guest's own writes.
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
    """Stop a guest without losing its writes, if the deadline allows.

    The flush may take nearly all of the time: a guest that is killed after its flush loses no
    data, but a guest whose flush was cut short does.
    """
    return (
        FlushGuest(vm_id=vm_id, deadline_s=deadline_s * FLUSH_SHARE),
        ShutDownGuest(vm_id=vm_id, deadline_s=deadline_s),
        *plan_kill(vm_id),
    )


def plan_kill(vm_id: VmId) -> tuple[Step, ...]:
    """End a VM's processes and remove its runtime directory."""
    return (EndVmm(vm_id=vm_id), EndNetwork(vm_id=vm_id), RemoveRuntimeDir(vm_id=vm_id))


def plan_delete(vm_id: VmId) -> tuple[Step, ...]:
    """End a VM's processes and remove all of its files."""
    return (*plan_kill(vm_id), RemoveVmDir(vm_id=vm_id))
