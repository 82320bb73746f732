"""Results of the API's methods; `table` lists the methods.

Clients ignore unknown fields. Only the daemon and the documentation import this module: importing
`msgspec` would cost a client 40 ms.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from banger.model.artifacts import Image, ImageLayer, Kernel
from banger.model.egress import Egress
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
    """A VM: its record and its current state, as one flat object."""

    id: VmId
    name: str
    state: VmState
    error: str | None
    """Why the state is `error`."""
    image: str
    """Image name as given at creation."""
    image_digest: str
    kernel_digest: str
    vcpu: int
    memory_mib: int
    disk_mib: int
    network: str
    egress: Egress
    """Egress policy of the network."""
    secrets: list[str]
    """Names of the secrets that the VM has placeholders for."""
    driver: str
    accel: Accel
    labels: dict[str, str]
    created_at: float
    """Seconds of the Unix epoch."""
    workspace: WorkspaceRecord | None
    ephemeral: bool = False
    """Whether the VM is deleted when the client that created it ends."""
    entrypoint: list[str] = field(default_factory=list)
    """Supervised entry point; empty: none."""
    pending: Shape | None = None
    """Size and network from the next boot on, if different."""
    template: str | None = None
    """Key of the template that the VM is a clone of; null once it has booted."""
    snapshot: str | None = None
    """ID of the snapshot that the VM was cloned or restored from; null once it has booted."""
    address: str | None = None
    """Loopback address of the host where the guest's ports appear; never changes."""
    link: str | None = None
    """URL of the guest's lowest port that may be a web server's; null: no such port is open."""
    guest_address: str | None = None
    """Address of the guest on its own network, while the VM runs."""
    guest_address6: str | None = None
    """IPv6 address of the guest on its own network, if it has one."""
    pid: int | None = None
    """PID of the VMM while the VM runs."""
    busy: str | None = None
    """Method of the operation in progress, if any."""
    ttl_s: float | None = None
    auto_stop_s: float | None = None
    """Idle seconds after which the VM is stopped."""
    restart: RestartPolicy = RestartPolicy.NO
    health: Literal["ok", "no-answer"] | None = None
    """Whether the guest agent answers; null: not running, or not asked yet."""
    ends_at: float | None = None
    """When the VM will end by its time to live or by being idle."""
    ends_by: Literal["ttl", "idle"] | None = None
    operation: str | None = None
    """ID of the operation in progress, for `operations.cancel` and the daemon's log."""
    notice: str | None = None
    """One sentence for the user, such as an unconfirmed flush (hazard A1)."""


def view_record(record: VmRecord, *, address: str | None = None) -> VmView:
    """Return a record as clients see it, without what is only known at the moment."""
    spec = record.spec
    return VmView(
        id=record.id,
        name=spec.name,
        state=record.state,
        error=record.error if record.state is VmState.ERROR else None,
        image=spec.image_name,
        image_digest=spec.image,
        kernel_digest=spec.kernel,
        vcpu=spec.shape.vcpu,
        memory_mib=spec.shape.memory_mib,
        disk_mib=spec.shape.disk_mib,
        network=spec.shape.network,
        egress=spec.egress,
        secrets=list(spec.secrets.placeholders),
        driver=spec.driver,
        accel=spec.accel,
        labels=spec.labels,
        created_at=record.created_at,
        workspace=record.workspace,
        ephemeral=spec.ending.ephemeral,
        entrypoint=list(spec.program.entrypoint),
        ttl_s=spec.ending.ttl_s,
        auto_stop_s=spec.ending.auto_stop_s,
        restart=spec.ending.restart,
        pending=record.pending,
        template=template_of(record.origin),
        snapshot=snapshot_of(record.origin),
        address=address,
        notice=None if record.state is VmState.ERROR else record.error,
    )


class PreparedWorkspace(Struct, frozen=True, kw_only=True):
    guest_path: str
    commit: str | None
    """Null: a plain directory."""
    branch: str | None
    files: int
    bytes: int
    untracked_left_out: int
    """Untracked files that stayed on the host (hazard A5)."""
    notices: list[str]
    """Sentences for the user."""


class VmPlan(Struct, frozen=True, kw_only=True):
    """The VM that `vm.create` would make."""

    name: str | None
    """Null: a free name is chosen at creation."""
    image: str
    kernel: str
    vcpu: int
    memory_mib: int
    disk_mib: int
    network: str
    driver: str
    accel: Accel


class WorkspacePlan(Struct, frozen=True, kw_only=True):
    """The files and commit that `workspace.prepare` would copy."""

    host_path: str
    guest_path: str
    commit: str | None
    """Null: a plain directory."""
    branch: str | None
    files: list[str]
    bytes: int
    untracked_left_out: int


class ExportedBranch(Struct, frozen=True, kw_only=True):
    branch: str | None
    """Null: nothing changed, so no `fresh` branch was created."""
    commit: str
    commits: int
    files: int
    """Number of files that differ from the prepared commit."""
    uncommitted: int
    """Number of changed or untracked files that are not in the branch."""
    notices: list[str]
    """Sentences about what cannot be exported."""


class StartedExec(Struct, frozen=True, kw_only=True):
    pid: int
    """PID in the guest. The connection is a stream from here on (see `stream`)."""


class StartedStream(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on."""


class StartedListen(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on. Either `host` and `port` or `path` is set."""

    host: str | None
    port: int | None
    path: str | None


class GuestFile(Struct, frozen=True, kw_only=True):
    """A file in a guest."""

    path: str
    """Absolute path."""
    kind: Literal["file", "directory", "link", "other"]
    mode: int
    """Permission bits."""
    size: int
    modified_at: float
    target: str | None
    """Target of a symbolic link."""


class DirectoryEntry(Struct, frozen=True, kw_only=True):
    """An entry of a directory in a guest."""

    name: str
    kind: Literal["file", "directory", "link", "other"]
    mode: int
    """Permission bits."""
    uid: int
    gid: int
    size: int
    modified_at: float


class FileChecksum(Struct, frozen=True, kw_only=True):
    digest: str
    """BLAKE2b of 32 bytes, in hexadecimal."""


class StartedCopy(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on."""

    path: str
    """The requested path, absolute."""
    file: GuestFile
    """What is copied; its path differs from `path` if a link was followed."""
    name: str
    """Name of the file or tree in the archive; empty if the archive has only its content."""


class StartedExport(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on."""

    notices: list[str]
    """Sentences about work tree content that is not in the patch."""


class Listener(Struct, frozen=True, kw_only=True):
    """A listening socket in a guest, or a port that the user published (`is_published`)."""

    vm: str
    """The VM's name."""
    protocol: Literal["tcp", "udp", "unix"]
    """Protocol in the guest."""
    address: str | None = None
    """Bound guest address; `0.0.0.0` or `::` for all; null: published."""
    port: int | None = None
    path: str | None = None
    """Path of a Unix socket in the guest, instead of a port."""
    host_address: str | None = None
    """Address of the host where the port appears."""
    host_port: int | None = None
    """Differs from `port` if the host reserves that number for root, or the user chose another."""
    host_path: str | None = None
    """Path of a Unix socket on the host, instead of a port."""
    is_published: bool = False
    state: Literal["open", "opening", "blocked"] = "opening"
    """`opening`: it appears within a second; `blocked`: `notice` says why."""
    link: str | None = None
    """URL for browsers and other HTTP clients; null for well-known ports of other protocols."""
    notice: str | None = None
    """One sentence."""


class Deleted(Struct, frozen=True, kw_only=True):
    ids: list[str]


class Pruned(Struct, frozen=True, kw_only=True):
    ids: list[str]
    blob_bytes: int
    """Bytes freed, or with `dry_run` to be freed, in the download cache."""


class TemplateView(Struct, frozen=True, kw_only=True):
    """A template: memory and disk of a booted VM."""

    key: str
    image: str
    """Name of the image at build time."""
    image_digest: str
    kernel_digest: str
    vcpu: int
    memory_mib: int
    disk_mib: int
    size_bytes: int
    """Size on the host's disk."""
    created_at: float
    used_at: float
    """Time of last use."""
    uses: int
    """Number of uses."""
    users: list[str]
    """Names of the VMs that use the template."""
    waiting: int
    """Number of pooled clones that are ready (`template.pool`)."""
    setup: list[str] = []
    """Setup commands whose result the template has; empty: only a booted image."""


class SnapshotView(Struct, frozen=True, kw_only=True):
    """A snapshot: saved memory and disk of a VM."""

    id: str
    name: str
    vm_id: VmId
    """The VM that the snapshot belongs to."""
    created_at: float
    size_bytes: int
    """Size on the host's disk."""
    users: list[str]
    """Names of the VMs that use the snapshot."""


class OperationView(Struct, frozen=True, kw_only=True):
    """A request or a background job of the daemon, in progress."""

    id: str
    method: str
    vm: str | None
    """Name of the VM concerned, if any."""
    vm_id: VmId | None
    stage: str | None
    """Current stage, as in the client's progress."""
    started_at: float
    cancellable: bool
    """False: always completed once begun."""


class LayerView(ImageLayer, frozen=True, kw_only=True):
    """A packed layer of an image."""

    kept: bool
    """Whether the layer is in the download cache."""
    images: int
    """Number of images with this layer."""


class ImageView(Image, frozen=True, kw_only=True):
    """An image and its current state, as one flat object."""

    names: list[str]
    """All names, sorted; empty: its name moved to another image."""
    layers: tuple[LayerView, ...]
    unique_bytes: int
    """Disk space of this image alone: its root, unless registered, and cached layers."""
    shared_bytes: int
    """Disk space of cached layers that other images share."""
    users: list[str]
    """Names of the VMs that use the image."""
    templates: int
    """Number of templates built from it."""


class CatalogueView(Struct, frozen=True, kw_only=True):
    """An image that is built on first use of its name."""

    name: str
    suite: str
    """Debian release."""
    summary: str
    digest: str | None
    """Digest of the local image of this name; null: none."""


class KernelView(Kernel, frozen=True, kw_only=True):
    """A kernel and its current state, as one flat object."""

    current: bool
    """False: its name moved to another kernel, such as one with a newer agent."""
    users: list[str]
    """VMs, templates and operations that use the kernel."""


class AvailableKernel(Struct, frozen=True, kw_only=True):
    """A kernel that `kernel.pull` offers."""

    name: str
    suite: str
    package: str
    digest: str | None
    """Digest of the local kernel of this name; null: not pulled."""


class Leftover(Struct, frozen=True, kw_only=True):
    kind: Literal["process", "socket", "directory", "staging"]
    name: str
    removed: bool


class HostCheck(Struct, frozen=True, kw_only=True):
    """One fact about the host that decides whether banger works there."""

    name: str
    state: Literal["ok", "warn", "fail"]
    """Only `fail` keeps banger from working."""
    fact: str
    hint: str | None
    """A command that improves the fact."""


class HostReport(Struct, frozen=True, kw_only=True):
    """Whether a host is ready."""

    ready: bool
    install: str | None
    """A command that installs what is missing."""
    checks: list[HostCheck]
