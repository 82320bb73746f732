"""Every method of the API, declared once: its parameters, its result, what it does.

Only the daemon and the documentation import this module, as they do `requests` and `results`.
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
    """One method. `stream`: after the reply the connection carries binary frames."""

    name: str
    params: type[Params]
    result: object
    doc: str
    stream: bool = False
    detached: bool = False
    """True: goes on when its client goes away."""


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(name="daemon.status", params=NoParams, result=DaemonStatus, doc="Tell who runs."),
        Method(
            name="daemon.stop",
            params=NoParams,
            result=DaemonStatus,
            doc="End the daemon; VMs keep running.",
            detached=True,
        ),
        Method(name="vm.create", params=VmCreate, result=VmView, doc="Make a VM and start it."),
        Method(
            name="vm.plan",
            params=VmCreate,
            result=VmPlan,
            doc="Tell what `vm.create` would make, or refuse as it would; make nothing.",
        ),
        Method(name="vm.list", params=VmList, result=list[VmView], doc="List VMs, oldest first."),
        Method(name="vm.show", params=VmRef, result=VmView, doc="Show one VM."),
        Method(
            name="vm.stats",
            params=VmStats,
            result=VmsUse,
            doc="Tell what VMs take of the host: processors, memory, disk.",
        ),
        Method(name="vm.start", params=VmStart, result=VmView, doc="Boot a stopped VM."),
        Method(
            name="vm.stop",
            params=VmStop,
            result=VmView,
            doc="Flush the guest's file systems, shut it down, end the VMM.",
            detached=True,
        ),
        Method(
            name="vm.restart",
            params=VmRestart,
            result=VmView,
            doc="As `vm.stop`, then boot the VM; one that does not run is booted.",
            detached=True,
        ),
        Method(
            name="vm.kill",
            params=VmRef,
            result=VmView,
            doc="End the VMM at once; what the guest had not written is lost.",
            detached=True,
        ),
        Method(
            name="vm.set",
            params=VmSet,
            result=VmView,
            doc="Change a VM's name, labels, sizes or network.",
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
            doc="Stop a VM's processors; its memory is kept.",
        ),
        Method(
            name="vm.resume",
            params=VmRef,
            result=VmView,
            doc="Let a paused VM go on, with the host's time.",
        ),
        Method(
            name="vm.fork",
            params=VmFork,
            result=list[VmView],
            doc="Make independent VMs that go on from where a VM is now.",
        ),
        Method(
            name="vm.commit",
            params=VmCommit,
            result=Image,
            doc="Make an image of a running VM's root file system.",
        ),
        Method(
            name="snapshot.create",
            params=SnapshotCreate,
            result=SnapshotView,
            doc="Keep a VM's memory and disk as they are now; the VM goes on.",
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
            doc="Put a VM back to a snapshot of it; what came after is lost.",
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
            doc="Delete every VM that is not running.",
            detached=True,
        ),
        Method(
            name="vm.exec",
            params=VmExec,
            result=StartedExec,
            doc="Run a program in the guest.",
            stream=True,
        ),
        Method(
            name="vm.logs",
            params=VmLogs,
            result=StartedStream,
            doc="Read the console's or the VMM's log.",
            stream=True,
        ),
        Method(
            name="vm.watch",
            params=VmWatch,
            result=StartedStream,
            doc="Tell what happens to VMs: created, another state, deleted, notices.",
            stream=True,
        ),
        Method(
            name="vm.console",
            params=VmRef,
            result=StartedStream,
            doc="Talk to a VM's serial console, one client at a time; EOF lets go of it.",
            stream=True,
        ),
        Method(
            name="vm.ports",
            params=VmRef,
            result=list[Listener],
            doc="List the TCP ports that something listens on in a guest.",
        ),
        Method(
            name="workspace.inspect",
            params=WorkspaceInspect,
            result=WorkspacePlan,
            doc="Tell what a prepare would send; needs no VM.",
        ),
        Method(
            name="workspace.prepare",
            params=WorkspacePrepare,
            result=PreparedWorkspace,
            doc="Put a git repository into the guest.",
        ),
        Method(
            name="workspace.export",
            params=WorkspaceExport,
            result=StartedExport,
            doc="Everything that changed since the repository was put in, as one patch.",
            stream=True,
        ),
        Method(
            name="workspace.export_branch",
            params=WorkspaceExportBranch,
            result=ExportedBranch,
            doc="Fetch the guest's commits into a branch of the host's repository.",
        ),
        Method(name="image.list", params=NoParams, result=list[ImageView], doc="List images."),
        Method(name="image.show", params=ImageRef, result=ImageView, doc="Show one image."),
        Method(
            name="image.catalog",
            params=NoParams,
            result=list[CatalogueView],
            doc="List the images that are built when they are asked for by name.",
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
            doc="Make an image of an archive or a root tar.",
        ),
        Method(
            name="image.register",
            params=ImageRegister,
            result=Image,
            doc="Make an image of a file of the user's, which stays where it is.",
        ),
        Method(
            name="image.promote",
            params=ImageRef,
            result=Image,
            doc="Copy a registered image's file, so that it is needed no longer.",
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
            doc="Delete images that nobody uses, and the cache of downloads.",
            detached=True,
        ),
        Method(
            name="image.delete",
            params=ImageRef,
            result=Deleted,
            doc="Delete an image; one that has other names only loses this one.",
        ),
        Method(name="kernel.list", params=NoParams, result=list[KernelView], doc="List kernels."),
        Method(
            name="kernel.available",
            params=NoParams,
            result=list[AvailableKernel],
            doc="List the kernels that can be pulled.",
        ),
        Method(name="kernel.show", params=KernelRef, result=KernelView, doc="Show one kernel."),
        Method(name="kernel.pull", params=KernelPull, result=Kernel, doc="Fetch a kernel."),
        Method(
            name="kernel.fetch",
            params=KernelFetch,
            result=Kernel,
            doc="Make a kernel of a file at a URL, whose sha256 is known.",
        ),
        Method(
            name="kernel.import",
            params=KernelImport,
            result=Kernel,
            doc="Make a kernel of files of the user's.",
        ),
        Method(
            name="kernel.build",
            params=KernelBuild,
            result=Kernel,
            doc="Build a small kernel of a source, with the host's compiler.",
        ),
        Method(
            name="kernel.delete",
            params=KernelRef,
            result=Deleted,
            doc="Delete a kernel that nothing uses.",
        ),
        Method(
            name="kernel.prune",
            params=NoParams,
            result=Deleted,
            doc="Delete kernels that were replaced, and their templates, unless a VM uses them.",
        ),
        Method(
            name="template.list",
            params=NoParams,
            result=list[TemplateView],
            doc="List templates, the last used first.",
        ),
        Method(
            name="template.build",
            params=TemplateBuild,
            result=TemplateView,
            doc="Make the template for VMs of this shape, unless it is here.",
        ),
        Method(
            name="template.delete",
            params=TemplateRef,
            result=Deleted,
            doc="Delete a template that no VM runs on.",
        ),
        Method(
            name="template.prune",
            params=NoParams,
            result=Deleted,
            doc="Delete every template that no VM runs on.",
        ),
        Method(
            name="operations.list",
            params=NoParams,
            result=list[OperationView],
            doc="List what is in progress, oldest first.",
        ),
        Method(
            name="operations.cancel",
            params=OperationRef,
            result=OperationView,
            doc="End an operation and undo what it has begun; its client gets `cancelled`.",
        ),
        Method(
            name="gc",
            params=Gc,
            result=list[Leftover],
            doc="List, or remove, what has our name and no record.",
        ),
    )
}
