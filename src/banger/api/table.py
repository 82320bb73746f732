"""Every method of the API, declared once: parameters, result and description.

Only the daemon and the documentation import this module, `requests` and `results`.
"""

from __future__ import annotations

from msgspec import Struct

from banger.api.requests import (
    Gc,
    ImageBuild,
    ImageImport,
    ImagePrune,
    ImagePull,
    ImageRef,
    ImageRegister,
    KernelBuild,
    KernelFetch,
    KernelImport,
    KernelPull,
    KernelRef,
    NoParams,
    OperationRef,
    Params,
    SnapshotCreate,
    SnapshotRef,
    SnapshotRestore,
    TemplateBuild,
    TemplateRef,
    VmCommit,
    VmCreate,
    VmDelete,
    VmExec,
    VmFork,
    VmList,
    VmLogs,
    VmPrune,
    VmRef,
    VmRestart,
    VmSet,
    VmStart,
    VmStats,
    VmStop,
    VmWatch,
    WorkspaceExport,
    WorkspaceExportBranch,
    WorkspaceInspect,
    WorkspacePrepare,
)
from banger.api.results import (
    AvailableKernel,
    CatalogueView,
    DaemonStatus,
    Deleted,
    ExportedBranch,
    ImageView,
    KernelView,
    Leftover,
    Listener,
    OperationView,
    PreparedWorkspace,
    Pruned,
    SnapshotView,
    StartedExec,
    StartedExport,
    StartedStream,
    TemplateView,
    VmPlan,
    VmsUse,
    VmView,
    WorkspacePlan,
)
from banger.model.artifacts import Image, Kernel


class Method(Struct, frozen=True, kw_only=True):
    """One method. `stream`: binary frames follow the reply."""

    name: str
    params: type[Params]
    result: object
    doc: str
    stream: bool = False
    detached: bool = False
    """True: the method completes even if its client disconnects."""


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="daemon.status",
            params=NoParams,
            result=DaemonStatus,
            doc="Return the daemon's status.",
        ),
        Method(
            name="daemon.stop",
            params=NoParams,
            result=DaemonStatus,
            doc="Stop the daemon; VMs keep running.",
            detached=True,
        ),
        Method(name="vm.create", params=VmCreate, result=VmView, doc="Create and start a VM."),
        Method(
            name="vm.plan",
            params=VmCreate,
            result=VmPlan,
            doc="Check a `vm.create` request and return the resulting plan; creates nothing.",
        ),
        Method(name="vm.list", params=VmList, result=list[VmView], doc="List VMs, oldest first."),
        Method(name="vm.show", params=VmRef, result=VmView, doc="Return one VM."),
        Method(
            name="vm.stats",
            params=VmStats,
            result=VmsUse,
            doc="Return the CPU, memory and disk usage of VMs.",
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
            params=VmRef,
            result=list[SnapshotView],
            doc="List a VM's snapshots, oldest first.",
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
            name="vm.exec",
            params=VmExec,
            result=StartedExec,
            doc="Run a command in the guest.",
            stream=True,
        ),
        Method(
            name="vm.logs",
            params=VmLogs,
            result=StartedStream,
            doc="Read a VM's console log or its VMM's log.",
            stream=True,
        ),
        Method(
            name="vm.watch",
            params=VmWatch,
            result=StartedStream,
            doc="Stream events of VMs: created, state changed, deleted, notices.",
            stream=True,
        ),
        Method(
            name="vm.console",
            params=VmRef,
            result=StartedStream,
            doc="Attach to a VM's serial console, one client at a time; EOF detaches.",
            stream=True,
        ),
        Method(
            name="vm.ports",
            params=VmRef,
            result=list[Listener],
            doc="List the TCP ports that a guest listens on.",
        ),
        Method(
            name="workspace.inspect",
            params=WorkspaceInspect,
            result=WorkspacePlan,
            doc="Return what `workspace.prepare` would copy; needs no VM.",
        ),
        Method(
            name="workspace.prepare",
            params=WorkspacePrepare,
            result=PreparedWorkspace,
            doc="Copy a git repository into the guest.",
        ),
        Method(
            name="workspace.export",
            params=WorkspaceExport,
            result=StartedExport,
            doc="Export everything that changed since `workspace.prepare` as one patch.",
            stream=True,
        ),
        Method(
            name="workspace.export_branch",
            params=WorkspaceExportBranch,
            result=ExportedBranch,
            doc="Fetch the guest's commits into a branch of the host's repository.",
        ),
        Method(name="image.list", params=NoParams, result=list[ImageView], doc="List images."),
        Method(name="image.show", params=ImageRef, result=ImageView, doc="Return one image."),
        Method(
            name="image.catalog",
            params=NoParams,
            result=list[CatalogueView],
            doc="List the images that are built on first use of their name.",
        ),
        Method(
            name="image.build",
            params=ImageBuild,
            result=Image,
            doc="Build an image from distribution packages.",
        ),
        Method(
            name="image.import",
            params=ImageImport,
            result=Image,
            doc="Import an image archive or a root file system tar.",
        ),
        Method(
            name="image.register",
            params=ImageRegister,
            result=Image,
            doc="Register a squashfs file as an image, without a copy.",
        ),
        Method(
            name="image.promote",
            params=ImageRef,
            result=Image,
            doc="Copy the file of a registered image into the image store.",
        ),
        Method(
            name="image.pull",
            params=ImagePull,
            result=Image,
            doc="Pull an image from a registry.",
        ),
        Method(
            name="image.prune",
            params=ImagePrune,
            result=Pruned,
            doc="Delete unused images and cached downloads.",
            detached=True,
        ),
        Method(
            name="image.delete",
            params=ImageRef,
            result=Deleted,
            doc="Delete an image, or only this name if it has others.",
        ),
        Method(name="kernel.list", params=NoParams, result=list[KernelView], doc="List kernels."),
        Method(
            name="kernel.available",
            params=NoParams,
            result=list[AvailableKernel],
            doc="List the kernels that can be pulled.",
        ),
        Method(name="kernel.show", params=KernelRef, result=KernelView, doc="Return one kernel."),
        Method(
            name="kernel.pull",
            params=KernelPull,
            result=Kernel,
            doc="Download a kernel from a signed package.",
        ),
        Method(
            name="kernel.fetch",
            params=KernelFetch,
            result=Kernel,
            doc="Download a kernel from a URL and check its sha256.",
        ),
        Method(
            name="kernel.import",
            params=KernelImport,
            result=Kernel,
            doc="Import a kernel from files.",
        ),
        Method(
            name="kernel.build",
            params=KernelBuild,
            result=Kernel,
            doc="Build a small kernel from source with the host's compiler.",
        ),
        Method(
            name="kernel.delete",
            params=KernelRef,
            result=Deleted,
            doc="Delete an unused kernel.",
        ),
        Method(
            name="kernel.prune",
            params=NoParams,
            result=Deleted,
            doc="Delete replaced kernels and their templates, unless a VM uses them.",
        ),
        Method(
            name="template.list",
            params=NoParams,
            result=list[TemplateView],
            doc="List templates, most recently used first.",
        ),
        Method(
            name="template.build",
            params=TemplateBuild,
            result=TemplateView,
            doc="Build the template for VMs of this size, unless it exists.",
        ),
        Method(
            name="template.delete",
            params=TemplateRef,
            result=Deleted,
            doc="Delete an unused template.",
        ),
        Method(
            name="template.prune",
            params=NoParams,
            result=Deleted,
            doc="Delete all templates that no VM uses.",
        ),
        Method(
            name="operations.list",
            params=NoParams,
            result=list[OperationView],
            doc="List operations in progress, oldest first.",
        ),
        Method(
            name="operations.cancel",
            params=OperationRef,
            result=OperationView,
            doc="Cancel an operation and undo what it did; its client gets `cancelled`.",
        ),
        Method(
            name="gc",
            params=Gc,
            result=list[Leftover],
            doc="List or remove leftover processes and directories that belong to no VM.",
        ),
    )
}
