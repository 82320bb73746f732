"""What the API's methods take; which methods there are is in `table`.

From these come validation, the OpenRPC document and the reference page. Unknown fields are
refused. Only the daemon and the documentation import this module, as they do `results`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from banger.model.vm import (
    RestartPolicy,
)


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests."""


class NoParams(Params, frozen=True):
    """A request without parameters."""


class VmRef(Params, frozen=True):
    ref: str
    """Name, id, or a prefix of either that only one VM has."""


class VmCreate(Params, frozen=True):
    """Absent values are decided by the configuration, then by the host's size."""

    name: str | None = None
    image: str | None = None
    kernel: str | None = None
    driver: str | None = None
    """A kind of driver, or `auto`."""
    vcpu: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    network: str | None = None
    """A kind of network, or `none`."""
    labels: dict[str, str] = field(default_factory=dict)
    ttl_s: float | None = None
    """How long it may run after each start; then it is stopped, or deleted if `ephemeral`."""
    restart: RestartPolicy = RestartPolicy.NO
    """Whether it is started again when it has ended by itself; not with `ephemeral`."""
    template: bool = True
    """Start from a template if there is or can be one; false: boot."""
    start: bool = True
    entrypoint: bool = False
    """Keep the image's entry point running in it; for an image without an init."""
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


class VmRestart(VmStop, frozen=True):
    force: bool = False
    """Even if the host's memory may not hold what it is to boot with."""


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
    network: str | None = None
    """A kind of network, or `none`."""
    labels: dict[str, str | None] = field(default_factory=dict)
    """Labels to set; null takes one away."""
    name: str | None = None
    keep: bool = False
    """Keep a VM that was made to be deleted (`ephemeral`): it then outlives its client."""


class SnapshotCreate(Params, frozen=True):
    ref: str
    name: str | None = None
    """As a VM's name; absent: `snapshot-N` with the lowest free N from 1 on."""


class SnapshotRef(Params, frozen=True):
    ref: str
    name: str
    """The snapshot's name, or its id."""


class SnapshotRestore(Params, frozen=True):
    ref: str
    name: str
    """The snapshot's name, or its id."""
    force: bool = False
    """Even if the host's memory may not hold it."""


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


class VmCommit(Params, frozen=True):
    ref: str
    name: str
    """The image's."""


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
    tail: int | None = None
    """So many of the last lines only."""


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
    directory: str | None = None
    """Directory of the repository, relative to its top, that later commands run in by default."""


class WorkspaceInspect(Params, frozen=True):
    path: str
    guest_path: str | None = None
    include_untracked: bool = False
    branch: str | None = None
    from_ref: str | None = None
    result: str | None = None
    """Branch that the result is to be brought back as; refused now if that cannot be done."""
    names: bool = True
    """List the files that would be sent."""


class WorkspaceExport(Params, frozen=True):
    """The patch comes as channel 1 of the stream."""

    ref: str
    since_commit: bool = False
    """Compare with the prepared commit instead of the tree as it was put in."""


class WorkspaceExportBranch(Params, frozen=True):
    ref: str
    branch: str
    include_uncommitted: bool = False
    """Put what is not committed in the guest into one commit on top; the guest is not changed."""
    fresh: bool = False
    """Never advance a branch: NAME-2, NAME-3 ... if NAME exists; and none if nothing changed."""


class ImageBuild(Params, frozen=True):
    name: str
    suite: str | None = None
    """Absent: the one of the image of the catalogue that has this name, else bookworm."""
    packages: list[str] = field(default_factory=list)
    recipe: str | None = None
    """Path of a recipe file; excludes `suite` and `packages`."""


class ImageImport(Params, frozen=True):
    path: str
    """An archive of `docker save`, an OCI layout or archive, or a root tar; or a pipe with one."""
    name: str | None = None
    """Absent: what the archive calls its image, else the file's name."""


class ImageRegister(Params, frozen=True):
    name: str
    path: str
    """A squashfs file, absolute; it is never changed or removed."""
    init: str | None = None
    """Path of its init in the guest, empty for none; absent: systemd if it has that."""


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
    network: str | None = None
    """A kind of network, or `none`."""


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


class KernelFetch(Params, frozen=True):
    url: str
    """What `kernel.import` takes as its `kernel`; https, or http from loopback."""
    sha256: str
    """Of the file, in hexadecimal digits."""
    name: str | None = None
    """Absent: as the file is called."""
    config: str | None = None
    """An absolute path; absent: the kernel carries its configuration itself."""
    force: bool = False
    """Fetch it again even if it is here."""
    insecure: bool = False
    """Plain HTTP is good enough."""


class KernelImport(Params, frozen=True):
    """All paths are absolute."""

    name: str
    kernel: str
    """A bzImage or a vmlinux (x86-64), an Image (arm64), or a Debian package or tar with one."""
    modules: str | None = None
    """A directory such as `/lib/modules/VERSION`; absent: what a guest needs is built in."""
    config: str | None = None
    """Absent: the kernel carries its configuration itself."""


class KernelBuild(Params, frozen=True):
    """All paths are absolute."""

    name: str = "small"
    source: str | None = None
    """A kernel's source tree, or a tar of one; absent: the distribution's package."""
    options: str | None = None
    """A file of lines such as `CONFIG_X=y`, which come after the built-in ones."""


class KernelRef(Params, frozen=True):
    ref: str
    """Name, digest, or a unique prefix of a digest."""


class Gc(Params, frozen=True):
    dry_run: bool = True
