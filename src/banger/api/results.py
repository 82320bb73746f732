"""What the API's methods return; which methods there are is in `table`.

Clients ignore unknown fields. Only the daemon and the documentation import this module: `msgspec`
costs a client 40 ms.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from banger.model.artifacts import Image, ImageLayer, Kernel
from banger.model.names import VmId
from banger.model.vm import (
    Accel,
    RestartPolicy,
    Shape,
    VmRecord,
    VmState,
    WorkspaceRecord,
    snapshot_of,
    template_of,
)


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
    network: str
    driver: str
    accel: Accel
    labels: dict[str, str]
    created_at: float
    """Seconds of the Unix epoch."""
    workspace: WorkspaceRecord | None
    entrypoint: list[str] = field(default_factory=list)
    """What its guest keeps running; empty: nothing."""
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
        entrypoint=list(spec.entrypoint),
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


class VmPlan(Struct, frozen=True, kw_only=True):
    """What `vm.create` would make."""

    name: str | None
    """Absent: a free one is chosen when the VM is made."""
    image: str
    kernel: str
    vcpu: int
    memory_mib: int
    disk_mib: int
    network: str
    driver: str
    accel: Accel


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
    notices: list[str]
    """Sentences about what cannot come back."""


class StartedExec(Struct, frozen=True, kw_only=True):
    pid: int
    """In the guest. The connection is a stream from here on (see `stream`)."""


class StartedStream(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on."""


class StartedExport(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on."""

    notices: list[str]
    """Sentences about what is in the guest's work tree and not in the patch."""


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
    """What was, or with `dry_run` would be, freed of the cache of downloads."""


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


class LayerView(ImageLayer, frozen=True, kw_only=True):
    """A packed layer that an image was made of."""

    kept: bool
    """It is in the cache, for the next pull of an image that has it."""
    images: int
    """How many images were made of it."""


class ImageView(Image, frozen=True, kw_only=True):
    """An image, flat, and what is known at the moment."""

    names: list[str]
    """All that mean it, sorted; none: another image has taken over the name that it had."""
    layers: tuple[LayerView, ...]
    unique_bytes: int
    """What it alone takes of the disk: its root, unless registered, and layers that are kept."""
    shared_bytes: int
    """Layers that are kept and that other images were made of, too."""
    users: list[str]
    """Names of VMs that use it."""
    templates: int
    """How many were made with it."""


class CatalogueView(Struct, frozen=True, kw_only=True):
    """An image that is built when it is asked for by its name."""

    name: str
    suite: str
    """The release of Debian that it is built from."""
    summary: str
    digest: str | None
    """Of the image that has this name here; absent: there is none."""


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
    digest: str | None
    """Of the kernel that has this name here; absent: it has not been pulled."""


class Leftover(Struct, frozen=True, kw_only=True):
    kind: Literal["process", "socket", "directory", "staging"]
    name: str
    removed: bool
