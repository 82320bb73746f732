"""What the API's methods take and return; which methods there are is in `table`.

From these come dispatch, validation, the OpenRPC document and the reference
page. Requests refuse unknown fields; clients ignore unknown fields of results.
Only the daemon and the documentation import this module: `msgspec` costs a
client 40 ms.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from banger.model.artifacts import Kernel
from banger.model.names import VmId
from banger.model.vm import (
    Accel,
    NetworkKind,
    RestartPolicy,
    Shape,
    VmRecord,
    VmState,
    WorkspaceRecord,
    snapshot_of,
    template_of,
)


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
    pending: Shape | None = None
    """What its machine becomes when it boots next, if that is something else."""
    template: str | None = None
    """Key of the template that it is a clone of; absent once it has booted itself."""
    snapshot: str | None = None
    """Id of the snapshot that it runs on: it is a fork, or was restored; absent as above."""
    address: str | None = None
    """The address in the guest's network, while it runs."""
    pid: int | None = None
    """The VMM's process id, while it runs."""
    busy: str | None = None
    """The operation in progress, if any."""
    ttl_s: float | None = None
    auto_stop_s: float | None = None
    """It is stopped when nobody has used it for so long."""
    restart: RestartPolicy = RestartPolicy.NO
    health: Literal["ok", "no-answer"] | None = None
    """Whether the guest's agent answers; absent: it does not run, or was not asked yet."""
    ends_at: float | None = None
    """When it ends by itself, as things stand: its time to live is over, or it stays idle."""
    ends_by: Literal["ttl", "idle"] | None = None
    operation: str | None = None
    """Its id, for `operations.cancel` and the daemon's log."""
    notice: str | None = None
    """One sentence that the user should see, such as an unconfirmed flush (hazard A1)."""


def view_record(
    record: VmRecord,
    *,
    address: str | None = None,
    pid: int | None = None,
    busy: str | None = None,
    operation: str | None = None,
    health: Literal["ok", "no-answer"] | None = None,
    ends_at: float | None = None,
    ends_by: Literal["ttl", "idle"] | None = None,
    notice: str | None = None,
) -> VmView:
    """Return what a client sees of a record."""
    spec = record.spec
    return VmView(
        id=record.id,
        name=spec.name,
        state=record.state,
        error=record.error if record.state is VmState.ERROR else None,
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
        ttl_s=spec.ttl_s,
        auto_stop_s=spec.auto_stop_s,
        restart=spec.restart,
        pending=spec.pending,
        template=template_of(spec.origin),
        snapshot=snapshot_of(spec.origin),
        address=address,
        pid=pid,
        busy=busy,
        operation=operation,
        health=health,
        ends_at=ends_at,
        ends_by=ends_by,
        notice=notice or (None if record.state is VmState.ERROR else record.error),
    )


class VmUse(Struct, frozen=True, kw_only=True):
    """What one VM takes of the host. Memory and time are its VMM's, which has the guest's."""

    id: VmId
    name: str
    state: VmState
    cpu_percent: float | None
    """Of one core, over the interval; absent, as the rest, while there is no VMM."""
    resident_bytes: int | None
    """`private_bytes` and `shared_bytes` together."""
    private_bytes: int | None
    """Memory that only this VM has."""
    shared_bytes: int | None
    """Memory that others have as well: what was not written to since the template, programs."""
    proportional_bytes: int | None
    """`private_bytes`, and of each shared page one part in as many as share it."""
    disk_bytes: int
    disk_allocated_bytes: int
    """What its data disk takes of the host's."""
    agent_ms: float | None
    """How long the agent took to answer; absent: it was not asked, or did not within 2 s."""
    notice: str | None = None
    """Why something is absent that should not be."""


class TotalUse(Struct, frozen=True, kw_only=True):
    """What VMs take together."""

    vms: int
    """How many of them had a VMM."""
    cpu_percent: float
    memory_bytes: int
    """`private_bytes` and `shared_bytes` together."""
    private_bytes: int
    shared_bytes: int
    """A page that several share counts once; one that is shared with others, in part."""
    disk_allocated_bytes: int


class VmsUse(Struct, frozen=True, kw_only=True):
    interval_s: float
    vms: list[VmUse]
    total: TotalUse


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
    branch: str | None
    """Absent: nothing has changed since the prepare, so no `fresh` one was made."""
    commit: str
    commits: int
    files: int
    """How many differ from the prepared commit."""
    uncommitted: int
    """Changed or untracked files in the guest that are not part of the branch."""


class StartedExec(Struct, frozen=True, kw_only=True):
    pid: int
    """In the guest. The connection is a stream from here on (see `stream`)."""


class StartedStream(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on."""


class Listener(Struct, frozen=True, kw_only=True):
    """A socket in a guest that waits for connections."""

    vm: str
    """The VM's name."""
    protocol: Literal["tcp"]
    address: str
    """The guest's address that it is bound to; `0.0.0.0` or `::` for all of them."""
    port: int


class Deleted(Struct, frozen=True, kw_only=True):
    ids: list[str]


class Pruned(Struct, frozen=True, kw_only=True):
    ids: list[str]
    blob_bytes: int
    """What was freed of the cache of downloads."""


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
    """When it was last asked for."""
    uses: int
    """How often it was asked for after it was made."""
    users: list[str]
    """Names of VMs that run on it."""
    waiting: int
    """How many clones of it are ready to be claimed (`template.pool`)."""


class SnapshotView(Struct, frozen=True, kw_only=True):
    """A snapshot: the memory and disk of one VM at one moment."""

    id: str
    name: str
    vm_id: VmId
    """The VM that it was made of, and goes with."""
    created_at: float
    size_bytes: int
    """What it takes on the host's disk."""
    users: list[str]
    """Names of VMs that run on it."""


class OperationView(Struct, frozen=True, kw_only=True):
    """A request, or work of the daemon's own, while it runs."""

    id: str
    method: str
    vm: str | None
    """Name of the VM that it is about, if there is one."""
    vm_id: VmId | None
    stage: str | None
    """What it is doing, as its client's progress says."""
    started_at: float
    cancellable: bool
    """False: once it has begun it is completed."""


class KernelView(Kernel, frozen=True, kw_only=True):
    """A kernel, flat, and what is known at the moment."""

    current: bool
    """False: its name has moved on to another one, such as one with a newer agent."""
    users: list[str]
    """Names of VMs that use it, templates that were made with it, operations that need it."""


class AvailableKernel(Struct, frozen=True, kw_only=True):
    """A kernel that `kernel.pull` knows."""

    name: str
    suite: str
    package: str
    here: bool
    """True: it has been pulled."""


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
    ttl_s: float | None = None
    """How long it may run after each start; then it is stopped, or deleted if `ephemeral`."""
    restart: RestartPolicy = RestartPolicy.NO
    """Whether it is started again when it has ended by itself; not with `ephemeral`."""
    template: bool = True
    """Start from a template if there is or can be one; false: boot."""
    start: bool = True
    force: bool = False
    """Even if the host's memory may not hold it."""
    ephemeral: bool = False
    deadline_s: float | None = None
    """For the boot; absent: 300 s emulated, 60 s on KVM."""


class VmStart(Params, frozen=True):
    ref: str
    force: bool = False
    """Even if the host's memory may not hold it."""


class VmList(Params, frozen=True):
    states: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


class VmStats(Params, frozen=True):
    refs: list[str] | None = None
    """Absent: every VM that has a VMM."""
    interval_s: float = 0.5
    """For how long the use of processors is watched: up to 60 s."""


class VmDelete(Params, frozen=True):
    ref: str


class VmPrune(Params, frozen=True):
    dry_run: bool = False
    """True: only tell which VMs would be deleted."""
    ids: list[str] | None = None
    """Of these VMs only, such as a user has agreed to; absent: of all."""


class VmStop(Params, frozen=True):
    ref: str
    deadline_s: float = 60.0
    """How long the guest may take to write what it holds back and to shut down; then it is ended.

    A notice in the result says so if the time was not enough for the writing.
    """


class VmSet(Params, frozen=True):
    """What is absent stays as it is.

    Name and labels change at once. Sizes and network of a VM that does not run do, too; of one that
    runs they change when it boots next, by `vm.restart` for example: a notice says so.
    """

    ref: str
    vcpu: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    """It can only grow."""
    network: NetworkKind | None = None
    labels: dict[str, str | None] = field(default_factory=dict)
    """Labels to set; null takes one away."""
    name: str | None = None


class SnapshotCreate(Params, frozen=True):
    ref: str
    name: str | None = None
    """As a VM's name; absent: `snapshot-N` with the lowest free N from 1 on."""


class SnapshotRef(Params, frozen=True):
    ref: str
    name: str
    """The snapshot's name, or its id."""


class VmFork(Params, frozen=True):
    ref: str
    number: int = 1
    """How many VMs to make of it: 1 to 64."""
    name: str | None = None
    """The forks are NAME-1, NAME-2 ...; absent: the VM's own name."""
    ephemeral: bool = False
    """Deleted when the connection that asked for them ends."""
    force: bool = False
    """Even if the host's memory may not hold them."""


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


class VmWatch(Params, frozen=True):
    """Each event comes as one line of JSON on channel 1 of the stream.

    Its members: `kind` (created, state, deleted, notice, missed), `at`, `vm_id`, `name`, `state`,
    `text`; what does not apply is null.

    Listen first, then ask `vm.list`: so nothing is missed. After an event `missed` ask again.
    """

    ref: str | None = None
    """Only this VM, until it is deleted; absent: all, without an end."""


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
    include_uncommitted: bool = False
    """Put what is not committed in the guest into one commit on top; the guest is not changed."""
    fresh: bool = False
    """Never advance a branch: NAME-2, NAME-3 ... if NAME exists; and none if nothing changed."""


class ImageBuild(Params, frozen=True):
    name: str
    suite: str = "bookworm"
    packages: list[str] = field(default_factory=list)
    recipe: str | None = None
    """Path of a recipe file; excludes `suite` and `packages`."""


class ImageImport(Params, frozen=True):
    path: str
    """An archive of `docker save`, an OCI layout or archive, or a root tar; or a pipe with one."""
    name: str | None = None
    """Absent: what the archive calls its image, else the file's name."""


class ImagePull(Params, frozen=True):
    ref: str
    """`[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, by Docker's rules."""
    platform: str | None = None
    """`OS/ARCH[/VARIANT]`; absent: this host's."""
    insecure: bool = False
    """The registry speaks plain HTTP."""


class ImagePrune(Params, frozen=True):
    all: bool = False
    """Every image that no VM uses; false: only those that have lost their name to a newer one."""
    dry_run: bool = False
    """True: only tell which images would be deleted."""


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


class OperationRef(Params, frozen=True):
    id: str
    """Id of an operation, or a unique prefix of one."""


class KernelPull(Params, frozen=True):
    name: str
    force: bool = False
    """Fetch it again even if it is here."""


class KernelImport(Params, frozen=True):
    """All paths are absolute."""

    name: str
    kernel: str
    """A bzImage or a vmlinux (x86-64), an Image (arm64)."""
    modules: str | None = None
    """A directory such as `/lib/modules/VERSION`; absent: what a guest needs is built in."""
    config: str | None = None
    """Absent: the kernel carries its configuration itself."""


class KernelRef(Params, frozen=True):
    ref: str
    """Name, digest, or a unique prefix of a digest."""


class Gc(Params, frozen=True):
    dry_run: bool = True
