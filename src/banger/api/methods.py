"""Every method of the API, declared once: parameters and results.

From these come dispatch, validation, the OpenRPC document and the reference
page. Requests refuse unknown fields; clients ignore unknown fields of results.
Only the daemon and the documentation import this module: `msgspec` costs a
client 40 ms.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from banger.model.artifacts import Image, Kernel
from banger.model.names import VmId
from banger.model.vm import Accel, NetworkKind, VmRecord, VmState, WorkspaceRecord


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests."""


class NoParams(Params, frozen=True):
    """A request without parameters."""


class VmRef(Params, frozen=True):
    ref: str
    """Name, id, or a prefix of either that only one VM has."""


# --- results -----------------------------------------------------------------


class DaemonStatus(Struct, frozen=True, kw_only=True):
    pid: int
    version: str
    socket: str
    started_at: float
    uptime_s: float
    vms: int
    resident_mib: float


class VmView(Struct, frozen=True, kw_only=True):
    """A VM: its record, flat, so that a script finds `.name`; and what is known at the moment."""

    id: VmId
    name: str
    state: VmState
    error: str | None
    """Why the state is `error`."""
    image: str
    """The name that it was asked for by."""
    image_digest: str
    kernel_digest: str
    vcpu: int
    memory_mib: int
    disk_mib: int
    network: NetworkKind
    driver: str
    accel: Accel
    labels: dict[str, str]
    created_at: float
    """Seconds of the Unix epoch."""
    workspace: WorkspaceRecord | None
    template: str | None = None
    """Key of the template that it is a clone of; absent once it has booted itself."""
    address: str | None = None
    """The address in the guest's network, while it runs."""
    pid: int | None = None
    """The VMM's process id, while it runs."""
    busy: str | None = None
    """The operation in progress, if any."""
    notice: str | None = None
    """One sentence that the user should see, such as an unconfirmed flush (hazard A1)."""


def view_record(
    record: VmRecord,
    *,
    address: str | None = None,
    pid: int | None = None,
    busy: str | None = None,
    notice: str | None = None,
) -> VmView:
    """Return what a client sees of a record."""
    spec = record.spec
    return VmView(
        id=record.id,
        name=spec.name,
        state=record.state,
        error=record.error,
        image=spec.image_name,
        image_digest=spec.image,
        kernel_digest=spec.kernel,
        vcpu=spec.vcpu,
        memory_mib=spec.memory_mib,
        disk_mib=spec.disk_mib,
        network=spec.network,
        driver=spec.driver,
        accel=spec.accel,
        labels=spec.labels,
        created_at=record.created_at,
        workspace=record.workspace,
        template=spec.template,
        address=address,
        pid=pid,
        busy=busy,
        notice=notice,
    )


class PreparedWorkspace(Struct, frozen=True, kw_only=True):
    guest_path: str
    commit: str
    branch: str | None
    files: int
    bytes: int
    untracked_left_out: int
    """Untracked files that stayed on the host (hazard A5)."""
    notices: list[str]
    """Sentences that the user should see."""


class WorkspacePlan(Struct, frozen=True, kw_only=True):
    """What a prepare would send."""

    host_path: str
    guest_path: str
    commit: str
    branch: str | None
    files: list[str]
    bytes: int
    untracked_left_out: int


class ExportedBranch(Struct, frozen=True, kw_only=True):
    branch: str
    commit: str
    commits: int
    uncommitted: int
    """Changed or untracked files in the guest that are not part of the branch."""


class StartedExec(Struct, frozen=True, kw_only=True):
    pid: int
    """In the guest. The connection is a stream from here on (see `stream`)."""


class StartedStream(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on."""


class Deleted(Struct, frozen=True, kw_only=True):
    ids: list[str]


class TemplateView(Struct, frozen=True, kw_only=True):
    """A template: the memory and disk of a machine that had booted."""

    key: str
    image: str
    """The name that the image had."""
    image_digest: str
    kernel_digest: str
    vcpu: int
    memory_mib: int
    disk_mib: int
    size_bytes: int
    """What it takes on the host's disk."""
    created_at: float
    used_at: float
    """When a VM was last started from it."""
    users: list[str]
    """Names of VMs that run on it."""


class Leftover(Struct, frozen=True, kw_only=True):
    kind: Literal["process", "socket", "directory", "staging"]
    name: str
    removed: bool


# --- requests ------------------------------------------------------------------


class VmCreate(Params, frozen=True):
    """Absent values are decided by the configuration, then by the host's size."""

    name: str | None = None
    image: str | None = None
    kernel: str | None = None
    driver: Literal["auto", "qemu"] | None = None
    vcpu: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    network: NetworkKind | None = None
    labels: dict[str, str] = field(default_factory=dict)
    template: bool = True
    """Start from a template if there is or can be one; false: boot."""
    start: bool = True
    ephemeral: bool = False
    deadline_s: float | None = None
    """For the boot; absent: 300 s emulated, 60 s on KVM."""


class VmList(Params, frozen=True):
    states: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


class VmDelete(Params, frozen=True):
    ref: str


class VmPrune(Params, frozen=True):
    dry_run: bool = False
    """True: only tell which VMs would be deleted."""


class VmStop(Params, frozen=True):
    ref: str
    deadline_s: float = 60.0
    """How long the guest may take to shut down before it is ended (its data is flushed first)."""


class Terminal(Struct, frozen=True, forbid_unknown_fields=True):
    rows: int
    columns: int


class VmExec(Params, frozen=True):
    ref: str
    argv: list[str]
    """Arguments with bytes that are no UTF-8 use surrogate escapes."""
    env: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    """Absent: the workspace, else the user's home."""
    user: str | None = None
    terminal: Terminal | None = None
    stdin: bool = False
    timeout_s: float | None = None
    detach: bool = False


class VmLogs(Params, frozen=True):
    ref: str
    log: Literal["console", "vmm"] = "console"
    follow: bool = False


class WorkspacePrepare(Params, frozen=True):
    ref: str
    path: str
    guest_path: str | None = None
    include_untracked: bool = False
    branch: str | None = None
    """Start this new branch in the guest ..."""
    from_ref: str | None = None
    """... at this commit of the repository (with `branch` only)."""


class WorkspaceInspect(Params, frozen=True):
    path: str
    guest_path: str | None = None
    include_untracked: bool = False
    branch: str | None = None
    from_ref: str | None = None


class WorkspaceExport(Params, frozen=True):
    """The patch comes as channel 1 of the stream."""

    ref: str


class WorkspaceExportBranch(Params, frozen=True):
    ref: str
    branch: str


class ImageBuild(Params, frozen=True):
    name: str
    suite: str = "bookworm"
    packages: list[str] = field(default_factory=list)
    recipe: str | None = None
    """Path of a recipe file; excludes `suite` and `packages`."""


class ImageRef(Params, frozen=True):
    ref: str
    """Name, digest, or a unique prefix of a digest."""


class TemplateBuild(Params, frozen=True):
    """Absent values are decided as for `vm.create`."""

    image: str | None = None
    kernel: str | None = None
    vcpu: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    network: NetworkKind | None = None


class TemplateRef(Params, frozen=True):
    ref: str
    """Key, or a unique prefix of one."""


class KernelPull(Params, frozen=True):
    name: str
    force: bool = False


class Gc(Params, frozen=True):
    dry_run: bool = True


# --- the table -------------------------------------------------------------------


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
        Method(name="vm.list", params=VmList, result=list[VmView], doc="List VMs, oldest first."),
        Method(name="vm.show", params=VmRef, result=VmView, doc="Show one VM."),
        Method(name="vm.start", params=VmRef, result=VmView, doc="Boot a stopped VM."),
        Method(
            name="vm.stop",
            params=VmStop,
            result=VmView,
            doc="Flush the guest's file systems, shut it down, end the VMM.",
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
            name="vm.delete",
            params=VmDelete,
            result=Deleted,
            doc="Delete a VM and its disk, running or not.",
            detached=True,
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
            result=StartedStream,
            doc="Everything that changed since the prepared commit, as one patch.",
            stream=True,
        ),
        Method(
            name="workspace.export_branch",
            params=WorkspaceExportBranch,
            result=ExportedBranch,
            doc="Fetch the guest's commits into a branch of the host's repository.",
        ),
        Method(name="image.list", params=NoParams, result=list[Image], doc="List images."),
        Method(name="image.show", params=ImageRef, result=Image, doc="Show one image."),
        Method(
            name="image.build",
            params=ImageBuild,
            result=Image,
            doc="Build an image from distribution packages.",
        ),
        Method(name="image.delete", params=ImageRef, result=Deleted, doc="Delete an image."),
        Method(name="kernel.list", params=NoParams, result=list[Kernel], doc="List kernels."),
        Method(name="kernel.pull", params=KernelPull, result=Kernel, doc="Fetch a kernel."),
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
            name="gc",
            params=Gc,
            result=list[Leftover],
            doc="List, or remove, what has our name and no record.",
        ),
    )
}
