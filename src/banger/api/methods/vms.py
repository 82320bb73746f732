"""Methods of VMs: their life, size, snapshots and logs."""

from __future__ import annotations

from banger.api.egress import DeniedTarget, EgressChange
from banger.api.method import Method
from banger.api.requests import (
    VmCommit,
    VmCreate,
    VmDelete,
    VmFork,
    VmList,
    VmLogs,
    VmPrune,
    VmRef,
    VmRestart,
    VmSet,
    VmStart,
    VmStop,
    VmWatch,
)
from banger.api.results import Deleted, SnapshotView, StartedStream, VmPlan, VmView
from banger.api.snapshots import SnapshotCreate, SnapshotList, SnapshotRef, SnapshotRestore
from banger.api.usage import GuestProcess, UseSample, VmHistory, VmStats, VmsUse
from banger.model.artifacts import (
    Image,
)
from banger.model.egress import Egress
from banger.model.scopes import Scope

VMS = (
    Method(name="vm.create", params=VmCreate, result=VmView, doc="Create and start a VM."),
    Method(
        name="vm.plan",
        params=VmCreate,
        result=VmPlan,
        doc="Check a `vm.create` request and return the resulting plan; creates nothing.",
        scope=Scope.READ,
    ),
    Method(
        name="vm.list",
        params=VmList,
        result=list[VmView],
        doc="List VMs, oldest first.",
        scope=Scope.READ,
    ),
    Method(
        name="vm.show",
        params=VmRef,
        result=VmView,
        doc="Return one VM.",
        scope=Scope.READ,
    ),
    Method(
        name="vm.wait",
        params=VmRef,
        result=VmView,
        doc="Wait until a VM no longer runs.",
        scope=Scope.READ,
    ),
    Method(
        name="vm.stats",
        params=VmStats,
        result=VmsUse,
        doc="Return the CPU, memory and disk usage of VMs.",
        scope=Scope.READ,
    ),
    Method(
        name="vm.history",
        params=VmHistory,
        result=list[UseSample],
        doc="Return what a VM used since the daemon's start: samples of the last 24 hours.",
        scope=Scope.READ,
    ),
    Method(
        name="vm.processes",
        params=VmRef,
        result=list[GuestProcess],
        doc="List the processes in a VM.",
        scope=Scope.READ,
    ),
    Method(name="vm.start", params=VmStart, result=VmView, doc="Start a stopped VM."),
    Method(
        name="vm.stop",
        params=VmStop,
        result=VmView,
        doc="Stop a VM: flush the guest's file systems, shut it down, end the VMM.",
        detached=True,
    ),
    Method(
        name="vm.restart",
        params=VmRestart,
        result=VmView,
        doc="Stop a VM as `vm.stop` does, if it runs, then start it.",
        detached=True,
    ),
    Method(
        name="vm.kill",
        params=VmRef,
        result=VmView,
        doc="Kill the VMM at once; unflushed guest writes are lost.",
        detached=True,
    ),
    Method(
        name="vm.set",
        params=VmSet,
        result=VmView,
        doc="Change a VM's name, labels, size or network.",
    ),
    Method(
        name="egress.change",
        params=EgressChange,
        result=Egress,
        doc="Change what may leave a VM; connections that are no longer allowed are reset.",
    ),
    Method(
        name="egress.log",
        params=VmRef,
        result=list[DeniedTarget],
        doc="List what a running VM was denied since its start, oldest first.",
        scope=Scope.READ,
    ),
    Method(
        name="vm.delete",
        params=VmDelete,
        result=Deleted,
        doc="Delete a VM and its disk, running or not.",
        detached=True,
    ),
    Method(
        name="vm.pause",
        params=VmRef,
        result=VmView,
        doc="Pause a VM; memory is kept.",
    ),
    Method(
        name="vm.resume",
        params=VmRef,
        result=VmView,
        doc="Resume a paused VM and set its clock.",
    ),
    Method(
        name="vm.fork",
        params=VmFork,
        result=list[VmView],
        doc="Clone a running or paused VM, memory included.",
    ),
    Method(
        name="vm.commit",
        params=VmCommit,
        result=Image,
        doc="Create an image from a running VM's root file system.",
    ),
    Method(
        name="snapshot.create",
        params=SnapshotCreate,
        result=SnapshotView,
        doc="Save a VM's memory and disk as a snapshot; the VM keeps running.",
    ),
    Method(
        name="snapshot.list",
        params=SnapshotList,
        result=list[SnapshotView],
        doc="List a VM's snapshots, oldest first.",
        scope=Scope.READ,
    ),
    Method(
        name="snapshot.restore",
        params=SnapshotRestore,
        result=VmView,
        doc="Restore a VM from one of its snapshots; later changes are lost.",
    ),
    Method(
        name="snapshot.delete",
        params=SnapshotRef,
        result=Deleted,
        doc="Delete a snapshot.",
    ),
    Method(
        name="vm.prune",
        params=VmPrune,
        result=Deleted,
        doc="Delete all VMs that are not running.",
        detached=True,
    ),
    Method(
        name="vm.logs",
        params=VmLogs,
        result=StartedStream,
        doc="Read a VM's console log or its VMM's log.",
        scope=Scope.READ,
        stream=True,
    ),
    Method(
        name="vm.watch",
        params=VmWatch,
        result=StartedStream,
        doc="Stream events of VMs: created, state, changed, deleted, notices.",
        scope=Scope.READ,
        stream=True,
    ),
    Method(
        name="vm.console",
        params=VmRef,
        result=StartedStream,
        doc="Attach to a VM's serial console, one client at a time; EOF detaches.",
        scope=Scope.USE,
        stream=True,
        takes_input=True,
    ),
)
