"""The JSON of the API's parameters and results, for type checkers.

Made by `make docs` from `banger.api.table`; do not edit. As long as the API has shapes, in one
module because type checkers alone read it. Nothing imports it at run time: that takes longer than
a command.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class AppliedChanges(TypedDict):
    """What `workspace.apply` did, or with conflicts or `check` would do, on the host."""

    done: bool
    """False: nothing was written."""
    written: list[str]
    removed: list[str]
    merged: list[str]
    """Files that both sides changed, merged without conflicts."""
    marked: list[str]
    """Conflicting files that now contain git's conflict marks."""
    conflicts: list[ApplyConflict]
    notices: list[str]
    """Sentences about what cannot be applied."""


class ApplyConflict(TypedDict):
    """`ApplyConflict` of the API."""

    name: str
    reason: str
    """For people to read."""


class AvailableKernel(TypedDict):
    """A kernel that `kernel.pull` offers."""

    name: str
    suite: str
    package: str
    digest: str | None
    """Digest of the local kernel of this name; null: not pulled."""


class CatalogueView(TypedDict):
    """An image that is built on first use of its name."""

    name: str
    suite: str
    """Debian release."""
    summary: str
    digest: str | None
    """Digest of the local image of this name; null: none."""


class CreatedToken(TypedDict):
    """A new token. No other method returns its text."""

    token: str
    scope: Literal["read", "use", "manage"]
    expires_at: float | None


class DaemonStatus(TypedDict):
    """`DaemonStatus` of the API."""

    pid: int
    version: str
    socket: str
    started_at: float
    uptime_s: float
    vms: int
    resident_mib: float


class Deleted(TypedDict):
    """`Deleted` of the API."""

    ids: list[str]


class DeniedTarget(TypedDict):
    """A target that a VM was denied since its start."""

    target: str
    """ADDRESS[:PORT/PROTOCOL], NAME[:PORT/tcp] or `host:PORT/PROTOCOL`."""
    times: int
    """Number of packets, queries or connections."""
    last_at: float
    """Time of the last one, in seconds of the Unix epoch."""
    rule: str | None
    """The rule that would allow it; null: no rule can."""
    why: str
    """Why a connection was denied, if its target is not the reason."""


class DirectoryEntry(TypedDict):
    """An entry of a directory in a guest."""

    name: str
    kind: Literal["file", "directory", "link", "other"]
    mode: int
    """Permission bits."""
    uid: int
    gid: int
    size: int
    modified_at: float


class Egress(TypedDict):
    """An egress policy."""

    profile: Literal["none", "public", "allowlist", "registries"]
    rules: list[str]
    """Rules, of which the first that matches decides."""
    bandwidth_mib: int
    """Most MiB that the network carries each way in a second; 0: no limit."""


class EgressChange(TypedDict):
    """`EgressChange` of the API."""

    ref: str
    profile: NotRequired[str | None]
    """`public`, `none`, `allowlist` or `registries`; default: unchanged."""
    rules: NotRequired[list[str]]
    """Rules as in `vm.create`, inserted before those that the VM has."""
    bandwidth_mib: NotRequired[int | None]
    """Most MiB per second in each direction; 0: no limit; default: unchanged."""


class ExportedBranch(TypedDict):
    """`ExportedBranch` of the API."""

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


class ExternalRoot(TypedDict):
    """A root that is the user's own file; banger never writes or removes it."""

    path: str
    mtime_ns: int
    """Modification time at registration; any other time means that the file may have changed."""


class FileChecksum(TypedDict):
    """`FileChecksum` of the API."""

    digest: str
    """BLAKE2b of 32 bytes, in hexadecimal."""


class Gc(TypedDict):
    """`Gc` of the API."""

    dry_run: NotRequired[bool]


class GuestFile(TypedDict):
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


class GuestProcess(TypedDict):
    """A process in a guest, as reported by the guest. Its texts may contain any character."""

    pid: int
    parent: int
    user: str
    """Name of the user, or the user ID if there is no name."""
    state: str
    """A letter, as in proc_pid_stat(5): R running, S sleeping, Z zombie."""
    of_kernel: bool
    """A thread of the guest's kernel."""
    cpu_percent: float
    """Percent of one of the guest's CPUs since its start."""
    cpu_s: float
    started_at: float
    resident_bytes: int
    command: str
    """The arguments, separated by spaces; the name in brackets if there are none."""


class HostCheck(TypedDict):
    """One fact about the host that decides whether banger works there."""

    name: str
    state: Literal["ok", "warn", "fail"]
    """Only `fail` keeps banger from working."""
    fact: str
    hint: str | None
    """A command that improves the fact."""


class HostReport(TypedDict):
    """Whether a host is ready."""

    ready: bool
    install: str | None
    """A command that installs what is missing."""
    checks: list[HostCheck]


class Image(TypedDict):
    """An image: a root file system that any number of VMs read."""

    name: str
    created_at: float
    init: str | None
    """Path of the image's init in the guest, or None: the agent stays PID 1."""
    has_programs: bool
    """False: no file of the root can be executed, so commands cannot run in the image."""
    source: str
    """Origin, as shown to people: `recipe:debian-bookworm`."""
    env: dict[str, str]
    workdir: str
    """Default working directory of commands; empty means the user's home."""
    user: str
    """Default user of commands: `user` or `uid`, with or without `:group`."""
    entrypoint: list[str]
    cmd: list[str]
    """Arguments that follow `entrypoint` in the image's default command."""
    labels: dict[str, str]
    stop_signal: str
    platform: str
    """Platform of the image, such as `linux/arm64`; empty means the host's."""
    signed_by: str
    """The key whose signature was verified at the pull; empty means that none was required."""
    packages: dict[str, str]
    """Name and version of each distribution package, when known."""
    recipe: str
    """Hash of the built-in recipe; empty means that the image is never rebuilt."""
    layers: list[ImageLayer]
    """Layers of an image that came from a registry, lowest first."""
    digest: str
    """sha256, in hex, over the root and every field of the draft that a VM depends on."""
    size_bytes: int
    root: str
    """File name of the root, relative to the image's directory."""
    root_sha256: str
    external: ExternalRoot | None
    """The user's file that is the root; None means a root in the image's directory."""


class ImageBuild(TypedDict):
    """`ImageBuild` of the API."""

    name: str
    suite: NotRequired[str | None]
    """Default: the suite of the catalogue image of this name, else bookworm."""
    packages: NotRequired[list[str]]
    recipe: NotRequired[str | None]
    """Path of a recipe file; excludes `suite` and `packages`."""


class ImageImport(TypedDict):
    """`ImageImport` of the API."""

    path: str
    """An archive of `docker save`, an OCI layout or archive, or a root tar; or a pipe with one."""
    name: NotRequired[str | None]
    """Default: the name in the archive, else the file's name."""


class ImageLayer(TypedDict):
    """A packed layer of an image."""

    digest: str
    """`sha256:` and 64 hex digits, of the packed layer."""
    size_bytes: int


class ImagePrune(TypedDict):
    """`ImagePrune` of the API."""

    all: NotRequired[bool]
    """Delete all images that no VM uses; false: only those whose name moved to a newer image."""
    dry_run: NotRequired[bool]
    """Return the images to delete, delete none."""


class ImagePull(TypedDict):
    """`ImagePull` of the API."""

    ref: str
    """`[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, by Docker's rules."""
    platform: NotRequired[str | None]
    """`OS/ARCH[/VARIANT]`; default: this host's."""
    insecure: NotRequired[bool]
    """Use plain HTTP."""


class ImageRef(TypedDict):
    """`ImageRef` of the API."""

    ref: str
    """Name, digest, or a unique prefix of a digest."""


class ImageRegister(TypedDict):
    """`ImageRegister` of the API."""

    name: str
    path: str
    """Absolute path of a squashfs file, which is never changed or removed."""
    init: NotRequired[str | None]
    """Path of the init in the guest, empty for none; default: systemd if present."""


class ImageView(TypedDict):
    """An image and its current state, as one flat object."""

    name: str
    created_at: float
    init: str | None
    """Path of the image's init in the guest, or None: the agent stays PID 1."""
    has_programs: bool
    """False: no file of the root can be executed, so commands cannot run in the image."""
    source: str
    """Origin, as shown to people: `recipe:debian-bookworm`."""
    env: dict[str, str]
    workdir: str
    """Default working directory of commands; empty means the user's home."""
    user: str
    """Default user of commands: `user` or `uid`, with or without `:group`."""
    entrypoint: list[str]
    cmd: list[str]
    """Arguments that follow `entrypoint` in the image's default command."""
    labels: dict[str, str]
    stop_signal: str
    platform: str
    """Platform of the image, such as `linux/arm64`; empty means the host's."""
    signed_by: str
    """The key whose signature was verified at the pull; empty means that none was required."""
    packages: dict[str, str]
    """Name and version of each distribution package, when known."""
    recipe: str
    """Hash of the built-in recipe; empty means that the image is never rebuilt."""
    layers: list[LayerView]
    """Layers of an image that came from a registry, lowest first."""
    digest: str
    """sha256, in hex, over the root and every field of the draft that a VM depends on."""
    size_bytes: int
    root: str
    """File name of the root, relative to the image's directory."""
    root_sha256: str
    external: ExternalRoot | None
    """The user's file that is the root; None means a root in the image's directory."""
    names: list[str]
    """All names, sorted; empty: its name moved to another image."""
    unique_bytes: int
    """Disk space of this image alone: its root, unless registered, and cached layers."""
    shared_bytes: int
    """Disk space of cached layers that other images share."""
    users: list[str]
    """Names of the VMs that use the image."""
    templates: int
    """Number of templates built from it."""


class Kernel(TypedDict):
    """A kernel with its initramfs, which holds the agent and the modules needed at boot."""

    digest: str
    """sha256 over the name and the files' hashes: the identity."""
    name: str
    """Name that users refer to, such as `debian-cloud`."""
    version: str
    """Output of `uname -r` in the guest."""
    arch: str
    created_at: float
    bzimage: str
    """File names are relative to the kernel's directory."""
    vmlinux: str
    initramfs: str
    config: str
    modules: list[str]
    hashes: dict[str, str]
    """sha256 of each file, in hex."""
    agent_version: str
    source: str
    """Origin, as shown to people: `package:linux-image-cloud-amd64 of bookworm`."""
    size_bytes: int
    """Size of all files; a file that two kernels share is on the disk once."""
    tree: str | None
    """The squashfs of all modules, for `/lib/modules/VERSION`; None if the kernel has none."""
    missed: list[str]
    """Optional features that the kernel lacks, one line each."""


class KernelBuild(TypedDict):
    """All paths are absolute."""

    name: NotRequired[str]
    source: NotRequired[str | None]
    """Kernel source tree or a tar of one; default: the distribution's source package."""
    options: NotRequired[str | None]
    """File with lines such as `CONFIG_X=y`, applied after the built-in options."""


class KernelFetch(TypedDict):
    """`KernelFetch` of the API."""

    url: str
    """A file that `kernel.import` accepts; https, or http from loopback."""
    sha256: str
    """Hash of the file, hexadecimal."""
    name: NotRequired[str | None]
    """Default: the file's name."""
    config: NotRequired[str | None]
    """Absolute path of the configuration; default: the one inside the kernel."""
    force: NotRequired[bool]
    """Download again even if present."""
    insecure: NotRequired[bool]
    """Allow plain HTTP."""


class KernelImport(TypedDict):
    """All paths are absolute."""

    name: str
    kernel: str
    """A bzImage or a vmlinux (x86-64), an Image (arm64), or a Debian package or tar with one."""
    modules: NotRequired[str | None]
    """A directory such as `/lib/modules/VERSION`; default: everything is built in."""
    config: NotRequired[str | None]
    """Default: the configuration inside the kernel."""


class KernelPull(TypedDict):
    """`KernelPull` of the API."""

    name: str
    force: NotRequired[bool]
    """Download again even if present."""


class KernelRef(TypedDict):
    """`KernelRef` of the API."""

    ref: str
    """Name, digest, or a unique prefix of a digest."""


class KernelView(TypedDict):
    """A kernel and its current state, as one flat object."""

    digest: str
    """sha256 over the name and the files' hashes: the identity."""
    name: str
    """Name that users refer to, such as `debian-cloud`."""
    version: str
    """Output of `uname -r` in the guest."""
    arch: str
    created_at: float
    bzimage: str
    """File names are relative to the kernel's directory."""
    vmlinux: str
    initramfs: str
    config: str
    modules: list[str]
    hashes: dict[str, str]
    """sha256 of each file, in hex."""
    agent_version: str
    source: str
    """Origin, as shown to people: `package:linux-image-cloud-amd64 of bookworm`."""
    size_bytes: int
    """Size of all files; a file that two kernels share is on the disk once."""
    tree: str | None
    """The squashfs of all modules, for `/lib/modules/VERSION`; None if the kernel has none."""
    missed: list[str]
    """Optional features that the kernel lacks, one line each."""
    current: bool
    """False: its name moved to another kernel, such as one with a newer agent."""
    users: list[str]
    """VMs, templates and operations that use the kernel."""


class LayerView(TypedDict):
    """A packed layer of an image."""

    digest: str
    """`sha256:` and 64 hex digits, of the packed layer."""
    size_bytes: int
    kept: bool
    """Whether the layer is in the download cache."""
    images: int
    """Number of images with this layer."""


class Leftover(TypedDict):
    """`Leftover` of the API."""

    kind: Literal["process", "socket", "directory", "staging"]
    name: str
    removed: bool


class Listener(TypedDict):
    """A listening socket in a guest, or a port that the user published (`is_published`)."""

    vm: str
    """The VM's name."""
    protocol: Literal["tcp", "udp", "unix"]
    """Protocol in the guest."""
    address: str | None
    """Bound guest address; `0.0.0.0` or `::` for all; null: published."""
    port: int | None
    path: str | None
    """Path of a Unix socket in the guest, instead of a port."""
    host_address: str | None
    """Address of the host where the port appears."""
    host_port: int | None
    """Differs from `port` if the host reserves that number for root, or the user chose another."""
    host_path: str | None
    """Path of a Unix socket on the host, instead of a port."""
    is_published: bool
    state: Literal["open", "opening", "blocked"]
    """`opening`: it appears within a second; `blocked`: `notice` says why."""
    link: str | None
    """URL for browsers and other HTTP clients; null for well-known ports of other protocols."""
    notice: str | None
    """One sentence."""


class LoginToken(TypedDict):
    """`LoginToken` of the API."""

    token: str


class NamesView(TypedDict):
    """Ports of this host's loopback that lead to VMs by name."""

    http_port: int | None
    """Port for links; null: not open."""
    socks_port: int | None
    """Port of the SOCKS proxy; null: not open."""
    dns_port: int | None
    """Port of the DNS server for `NAME.vm`; null: not open."""
    notices: list[str]
    """One sentence for each configured port that could not be opened."""


class NoParams(TypedDict):
    """A request without parameters."""


class OperationRef(TypedDict):
    """`OperationRef` of the API."""

    id: str
    """Operation ID, or a unique prefix."""


class OperationView(TypedDict):
    """A request or a background job of the daemon, in progress."""

    id: str
    method: str
    vm: str | None
    """Name of the VM concerned, if any."""
    vm_id: str | None
    stage: str | None
    """Current stage, as in the client's progress."""
    started_at: float
    cancellable: bool
    """False: always completed once begun."""


class PortAdd(TypedDict):
    """`PortAdd` of the API."""

    ref: str
    port: PortSpec


class PortRemove(TypedDict):
    """`PortRemove` of the API."""

    ref: str
    port: str
    """`[ADDRESS:]HOST[:GUEST][/PROTOCOL]` or the host path; or a guest port that is unambiguous."""


class PortSpec(TypedDict):
    """A port or Unix socket of a guest to publish: either `guest_port` or `guest_path` is set."""

    guest_port: NotRequired[int | None]
    guest_path: NotRequired[str | None]
    """Path of a Unix socket in the guest; needs `host_port` or `host_path`."""
    protocol: NotRequired[Literal["tcp", "udp"]]
    """`udp` needs a port on both sides."""
    host_port: NotRequired[int | None]
    """Default: the guest's port number, or a higher free one if that is taken."""
    host_address: NotRequired[str]
    """An address of the host; `0.0.0.0` or `::` for all, which lets other machines connect."""
    host_path: NotRequired[str | None]
    """Path of a Unix socket to create on the host instead of a port, with mode 0600."""


class PreparedWorkspace(TypedDict):
    """`PreparedWorkspace` of the API."""

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


class Pruned(TypedDict):
    """`Pruned` of the API."""

    ids: list[str]
    blob_bytes: int
    """Bytes freed, or with `dry_run` to be freed, in the download cache."""


class PublishedPort(TypedDict):
    """A port or Unix socket of a guest that the user published on the host."""

    vm: str
    """The VM's name."""
    protocol: Literal["tcp", "udp", "unix"]
    """Protocol on the host; the guest's end is a Unix socket if `guest_path` is set."""
    host_address: str | None
    host_port: int | None
    host_path: str | None
    """Path of a Unix socket, instead of a port."""
    guest_port: int | None
    guest_path: str | None
    state: Literal["open", "blocked", "closed"]
    """`closed`: the VM does not run; `blocked`: `notice` says why."""
    notice: str | None
    """One sentence."""


class SecretRef(TypedDict):
    """`SecretRef` of the API."""

    name: str


class SecretSet(TypedDict):
    """`SecretSet` of the API."""

    name: str
    """Also the name of the variable that has the placeholder in VMs."""
    value: str
    """One line of readable ASCII characters."""
    hosts: NotRequired[list[str]]
    """Hosts that may get the secret, as `NAME[:PORT]` or `*.NAME[:PORT]`, at port 443 unless
    they name another; default: unchanged.
    """
    headers: NotRequired[list[str]]
    """Names of the headers that may have the secret; default: unchanged, at first
    `authorization` and `x-api-key`.
    """


class SecretView(TypedDict):
    """A secret, without its value."""

    name: str
    hosts: list[str]
    headers: list[str]
    vms: list[str]
    """Names of the VMs that have a placeholder for it."""


class SessionAttach(TypedDict):
    """Output is sent on channels 1 and 2, starting at the latest of `position`, `tail`, `since`.

    A position is the number of bytes before it in the session's output, on both channels
    together. A client that continues at `position` plus all bytes and gaps that it got misses
    nothing. A control frame `gap` has the number of bytes that are no longer kept. Channel 0
    goes to the session's input; `eof` ends channel 0 and leaves the input open. The session
    outlives the connection.
    """

    ref: str
    name: str
    position: NotRequired[int]
    tail: NotRequired[int | None]
    """Start with the last N lines."""
    since: NotRequired[float | None]
    """Seconds of the Unix epoch; precise to a second."""
    follow: NotRequired[bool]
    """Continue until the session ends, and send its exit; false: only the output so far."""
    stdin: NotRequired[bool]
    """Write to the session as well; only one client at a time can."""
    terminal: NotRequired[Terminal | None]
    """Resize the session's terminal."""


class SessionDelete(TypedDict):
    """`SessionDelete` of the API."""

    ref: str
    name: str
    force: NotRequired[bool]
    """Kill the session if it is running."""


class SessionRef(TypedDict):
    """`SessionRef` of the API."""

    ref: str
    """The VM: name, ID, or a unique prefix of either."""
    name: str


class SessionSend(TypedDict):
    """Send on channel 0, then the control `eof`; the exit means that the session took all."""

    ref: str
    name: str
    end_input: NotRequired[bool]
    """Close the session's input afterwards; on a terminal, send the end-of-file character."""


class SessionSignal(TypedDict):
    """`SessionSignal` of the API."""

    ref: str
    name: str
    signal: NotRequired[int]
    """1 to 64, sent to the process group; 9 also to everything else that the session started."""


class SessionStart(TypedDict):
    """`SessionStart` of the API."""

    ref: str
    argv: list[str]
    """Bytes that are not UTF-8 are written as surrogate escapes."""
    env: NotRequired[dict[str, str]]
    cwd: NotRequired[str | None]
    """Default: the workspace, else the user's home."""
    user: NotRequired[str | None]
    terminal: NotRequired[Terminal | None]
    stdin: NotRequired[bool]
    """Give the command an input; otherwise it reads /dev/null."""
    name: NotRequired[str | None]
    """Same rules as for VM names, and unique in the VM; default: a word pair."""


class SessionStop(TypedDict):
    """`SessionStop` of the API."""

    ref: str
    name: str
    deadline_s: NotRequired[float]
    """Seconds from SIGTERM to SIGKILL."""


class SessionView(TypedDict):
    """A session, as reported by the VM's agent."""

    name: str
    vm_id: str
    vm: str
    """The VM's name."""
    state: Literal["running", "ended"]
    argv: list[str]
    """The first KiB of the command line."""
    terminal: bool
    takes_input: bool
    started_at: float
    ended_at: float | None
    status: int | None
    """Exit status of an ended session; null if a signal ended it."""
    signal: int | None
    pid: int | None
    """PID in the guest, while the session is running."""
    output_bytes: int
    kept_from: int
    """Position of the oldest output that is kept."""
    readers: int


class Setup(TypedDict):
    """Commands that make a VM ready, and what they depend on."""

    commands: list[str]
    """Run in turn by `/bin/sh -c`, as root; one that fails ends the making of the VM."""
    directory: str
    """Where they run: an absolute path, that of the workspace. Its content is then moved aside,
    and into the workspace by `workspace.prepare`.
    """
    inputs: NotRequired[list[SetupInput]]
    optional: NotRequired[bool]
    """Only for VMs with a network, from templates; after a failure the VM is made without."""


class SetupInput(TypedDict):
    """A file that the commands read."""

    path: str
    """Relative to the directory, without `..`."""
    content: str
    """In Base64."""
    executable: NotRequired[bool]


class Shape(TypedDict):
    """The part of a spec that can be changed after creation."""

    vcpu: int
    memory_mib: int
    disk_mib: int
    network: str
    """A kind of network, or `none`."""


class SnapshotCreate(TypedDict):
    """`SnapshotCreate` of the API."""

    ref: str
    name: NotRequired[str | None]
    """Same rules as for VM names; default: `snapshot-N` with the lowest free N from 1."""


class SnapshotList(TypedDict):
    """`SnapshotList` of the API."""

    ref: str
    forks: NotRequired[bool]
    """Include the unnamed snapshots of forks, which are deleted with the last fork."""


class SnapshotRef(TypedDict):
    """`SnapshotRef` of the API."""

    ref: str
    name: str
    """Name or ID of the snapshot."""


class SnapshotRestore(TypedDict):
    """`SnapshotRestore` of the API."""

    ref: str
    name: str
    """Name or ID of the snapshot."""
    force: NotRequired[bool]
    """Skip the check of the host's memory."""


class SnapshotView(TypedDict):
    """A snapshot: saved memory and disk of a VM."""

    id: str
    name: str
    vm_id: str
    """The VM that the snapshot belongs to."""
    created_at: float
    size_bytes: int
    """Size on the host's disk."""
    users: list[str]
    """Names of the VMs that use the snapshot."""


class StartedAttach(TypedDict):
    """The connection is a stream from here on."""

    session: SessionView
    position: int
    """Position of the first byte, or gap, of the stream."""


class StartedCopy(TypedDict):
    """The connection is a stream from here on."""

    path: str
    """The requested path, absolute."""
    file: GuestFile
    """What is copied; its path differs from `path` if a link was followed."""
    name: str
    """Name of the file or tree in the archive; empty if the archive has only its content."""


class StartedExec(TypedDict):
    """`StartedExec` of the API."""

    pid: int
    """PID in the guest. The connection is a stream from here on (see `stream`)."""


class StartedExport(TypedDict):
    """The connection is a stream from here on."""

    notices: list[str]
    """Sentences about work tree content that is not in the patch."""


class StartedListen(TypedDict):
    """The connection is a stream from here on. Either `host` and `port` or `path` is set."""

    host: str | None
    port: int | None
    path: str | None


class StartedStream(TypedDict):
    """The connection is a stream from here on."""


class SyncConflict(TypedDict):
    """`SyncConflict` of the API."""

    name: str
    kind: str
    """both-changed, both-added, deleted-on-host, deleted-in-guest, renamed, mode, type, case,
    file-in-the-way, directory-in-the-way, untracked or changed-meanwhile.
    """
    reason: str
    """The kind as a sentence for people to read."""
    other: str | None
    """The other name, if the kind is `renamed` or `case`."""


class SyncedSide(TypedDict):
    """What was changed, or with `check` would be, on one side."""

    written: list[str]
    removed: list[str]


class SyncedWorkspace(TypedDict):
    """What `workspace.sync` did, or with `check` would do."""

    host: SyncedSide
    guest: SyncedSide
    conflicts: list[SyncConflict]
    """Names that were left unchanged on both sides."""
    notices: list[str]
    """Sentences about names that are never synced."""


class TemplateBuild(TypedDict):
    """Defaults are those of `vm.create`."""

    image: NotRequired[str | None]
    kernel: NotRequired[str | None]
    vcpu: NotRequired[int | None]
    memory_mib: NotRequired[int | None]
    disk_mib: NotRequired[int | None]
    network: NotRequired[str | None]
    """A kind of network, or `none`."""


class TemplateRef(TypedDict):
    """`TemplateRef` of the API."""

    ref: str
    """Key, or a unique prefix."""


class TemplateView(TypedDict):
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
    setup: list[str]
    """Setup commands whose result the template has; empty: only a booted image."""


class Terminal(TypedDict):
    """`Terminal` of the API."""

    rows: int
    columns: int
    modes: NotRequired[list[list[int]]]
    """Modes and their values by the numbers of RFC 4254, section 8 (1..159), such as 53 for
    ECHO. Those that Linux does not have are ignored; those not named are as in a new
    terminal.
    """


class TokenCheck(TypedDict):
    """`TokenCheck` of the API."""

    token: str
    kind: Literal["program", "login"]


class TokenCreate(TypedDict):
    """`TokenCreate` of the API."""

    name: str
    """Same rules as for VM names."""
    scope: Literal["read", "use", "manage"]
    expires_s: NotRequired[float | None]
    """Seconds from now; default: never."""


class TokenRef(TypedDict):
    """`TokenRef` of the API."""

    name: str


class TokenView(TypedDict):
    """A token; times are seconds of the Unix epoch."""

    name: str | None
    """Null: the token of a login."""
    scope: Literal["read", "use", "manage"]
    created_at: float
    expires_at: float | None
    """Null: never."""
    used_at: float | None
    """Precise to a minute; null: never."""


class TotalUse(TypedDict):
    """Host resources of all VMs together."""

    vms: int
    """Number of VMs with a VMM."""
    cpu_percent: float
    memory_bytes: int
    """`private_bytes` and `shared_bytes` together."""
    private_bytes: int
    shared_bytes: int
    """Each shared page counts once; pages shared with other processes in part."""
    disk_allocated_bytes: int


class UseSample(TypedDict):
    """Host resources that a VM used in an interval, as in `VmUse`.

    Memory is the highest measured value if the interval is a minute or longer.
    """

    ended_at: float
    interval_s: float
    cpu_percent: float
    resident_bytes: int
    private_bytes: int
    """Anonymous memory: nearly all that only this VM uses."""
    disk_allocated_bytes: int


class VmAccept(TypedDict):
    """The stream is like that of `vm.connect`."""

    token: str


class VmChecksumFile(TypedDict):
    """`VmChecksumFile` of the API."""

    ref: str
    path: str
    size: int
    """Number of bytes, from the beginning of the file."""


class VmCommit(TypedDict):
    """`VmCommit` of the API."""

    ref: str
    name: str
    """Name of the image."""


class VmConnect(TypedDict):
    """Channel 0 carries data to the guest, channel 1 from the guest. Each side ends its
    direction with the control frame `eof`; the exit follows when both directions have ended.
    """

    ref: str
    host: NotRequired[str]
    """An address, or a name that the guest resolves; `localhost`: 127.0.0.1, then ::1."""
    port: NotRequired[int | None]
    path: NotRequired[str | None]
    """Absolute path of a Unix socket, instead of a port."""
    user: NotRequired[str | None]
    """User who connects to the Unix socket; default: root."""


class VmCopyIn(TypedDict):
    """Send a tar on channel 0, then the control `eof`; the exit means that all was extracted."""

    ref: str
    path: str
    """An existing directory, as in `vm.stat_file`."""
    keep_owners: NotRequired[bool]
    """Keep the user and group IDs of the archive; otherwise root owns everything."""
    part_offset: NotRequired[int | None]
    """The archive has one file, without the bytes before this offset, which an interrupted copy
    has left in `.NAME.banger-part`. If this copy is interrupted as well, the part is kept.
    """


class VmCopyOut(TypedDict):
    """The stream is a tar on channel 1. The guest is not trusted: extract the tar with care."""

    ref: str
    path: str
    """As in `vm.stat_file`. A path that ends with `/.` means the content of the directory."""
    follow: NotRequired[bool]
    """Follow a symbolic link at the path; links below it are copied."""
    offset: NotRequired[int]
    """Bytes to leave out at the beginning of each file."""


class VmCreate(TypedDict):
    """Defaults come from the configuration, then from the host's size."""

    name: NotRequired[str | None]
    image: NotRequired[str | None]
    kernel: NotRequired[str | None]
    driver: NotRequired[str | None]
    """A kind of driver, or `auto`."""
    vcpu: NotRequired[int | None]
    memory_mib: NotRequired[int | None]
    disk_mib: NotRequired[int | None]
    network: NotRequired[str | None]
    """A kind of network, or `none`."""
    egress: NotRequired[str | None]
    """Egress profile of the VM's network: `public`, `none`, `allowlist` or `registries`."""
    egress_rules: NotRequired[list[str]]
    """Egress rules, such as `allow 203.0.113.0/24:443/tcp`, `deny 198.51.100.7`, `allow
    host:8080` or, by name, `allow *.example.org:22` and `allow @python`. The first rule that
    matches a connection decides, then the profile. The rules of the setting `egress.rules`
    follow, without rules by name if `egress` is a profile that does not take any.
    """
    secrets: NotRequired[list[str]]
    """Names of secrets. Each is a variable of every command in the VM, with a placeholder, which
    HTTPS requests of the VM exchange for the value. The secrets' hosts are allowed. If the
    egress profile takes no names, the VM gets `registries`.
    """
    bandwidth_mib: NotRequired[int]
    """Most MiB per second that the VM's network carries in each direction; 0: no limit."""
    labels: NotRequired[dict[str, str]]
    env: NotRequired[dict[str, str]]
    """Environment of every command in the VM, in addition to the image's."""
    ports: NotRequired[list[PortSpec]]
    """Ports to publish, as `port.add` does."""
    ttl_s: NotRequired[float | None]
    """Seconds from each start after which the VM is stopped, or deleted if `ephemeral`."""
    restart: NotRequired[Literal["no", "on-failure", "always"]]
    """When to restart a VM that ended by itself; not with `ephemeral`."""
    setup: NotRequired[Setup | None]
    """Commands of a repository to run once; the result is kept as a template for VMs with the
    same setup.
    """
    template: NotRequired[bool]
    """Start from a template, built if needed; false: always boot."""
    start: NotRequired[bool]
    entrypoint: NotRequired[bool]
    """Keep the image's entry point running; only for images without an init."""
    force: NotRequired[bool]
    """Skip the checks of the host's memory and CPUs."""
    ephemeral: NotRequired[bool]
    deadline_s: NotRequired[float | None]
    """Boot timeout; default: 300 s emulated, 60 s on KVM."""


class VmDelete(TypedDict):
    """`VmDelete` of the API."""

    ref: str


class VmExec(TypedDict):
    """`VmExec` of the API."""

    ref: str
    argv: list[str]
    """Bytes that are not UTF-8 are written as surrogate escapes."""
    env: NotRequired[dict[str, str]]
    cwd: NotRequired[str | None]
    """Default: the workspace, else the user's home."""
    user: NotRequired[str | None]
    terminal: NotRequired[Terminal | None]
    stdin: NotRequired[bool]
    """Give the command an input; otherwise it reads /dev/null."""
    timeout_s: NotRequired[float | None]
    if_stale: NotRequired[Literal["ignore", "notice", "prepare"]]


class VmFork(TypedDict):
    """`VmFork` of the API."""

    ref: str
    number: NotRequired[int]
    """Number of clones, 1 to 64."""
    name: NotRequired[str | None]
    """The clones are NAME-1, NAME-2 ...; default: the VM's name."""
    ephemeral: NotRequired[bool]
    """Delete the clones when the client's connection ends."""
    force: NotRequired[bool]
    """Skip the check of the host's memory."""


class VmHistory(TypedDict):
    """`VmHistory` of the API."""

    ref: str
    since: NotRequired[float | None]
    """Only samples that ended later (seconds of the Unix epoch)."""


class VmList(TypedDict):
    """`VmList` of the API."""

    states: NotRequired[list[str]]
    labels: NotRequired[dict[str, str]]


class VmListDirectory(TypedDict):
    """`VmListDirectory` of the API."""

    ref: str
    path: str
    """As in `vm.stat_file`; symbolic links are followed."""


class VmListen(TypedDict):
    """Each connection is announced by a line of JSON on channel 1: `token`, for `vm.accept`
    within 30 s, `peer_host` and `peer_port` (null: a Unix socket). The listener ends with the
    stream.
    """

    ref: str
    host: NotRequired[str | None]
    """An IP address of the guest, or `localhost`."""
    port: NotRequired[int | None]
    """Port to listen on; 0: any free port."""
    path: NotRequired[str | None]
    """Absolute path of a Unix socket; default without `port`: a new socket in a new directory
    that only the user can access.
    """
    user: NotRequired[str | None]
    """User who listens, and who owns the Unix socket; default: root."""


class VmLogs(TypedDict):
    """`VmLogs` of the API."""

    ref: str
    log: NotRequired[Literal["console", "vmm"]]
    follow: NotRequired[bool]
    tail: NotRequired[int | None]
    """Start with the last N lines."""


class VmPlan(TypedDict):
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
    accel: Literal["kvm", "tcg"]


class VmPrune(TypedDict):
    """`VmPrune` of the API."""

    dry_run: NotRequired[bool]
    """Return the VMs to delete, delete none."""
    ids: NotRequired[list[str] | None]
    """Only consider these VMs, for example those that a user confirmed; default: all."""


class VmRef(TypedDict):
    """`VmRef` of the API."""

    ref: str
    """Name, ID, or a unique prefix of either."""


class VmRestart(TypedDict):
    """`VmRestart` of the API."""

    ref: str
    deadline_s: NotRequired[float]
    """Seconds to flush and shut down before the VMM is killed. A notice in the result says if
    the flush was not confirmed in time.
    """
    force: NotRequired[bool]
    """Skip the check of the host's memory."""


class VmSet(TypedDict):
    """Absent values are not changed.

    Name and labels change at once; so do size and network of a stopped VM. Size and network
    of a running VM change at its next boot, for example by `vm.restart`; a notice then says
    so.
    """

    ref: str
    vcpu: NotRequired[int | None]
    memory_mib: NotRequired[int | None]
    disk_mib: NotRequired[int | None]
    """Can only grow."""
    network: NotRequired[str | None]
    """A kind of network, or `none`."""
    labels: NotRequired[dict[str, str | None]]
    """Labels to set; null removes a label."""
    name: NotRequired[str | None]
    keep: NotRequired[bool]
    """Make an `ephemeral` VM permanent: it outlives its client."""


class VmSftp(TypedDict):
    """`VmSftp` of the API."""

    ref: str
    user: NotRequired[str | None]
    cwd: NotRequired[str | None]
    """Directory of relative names; default: the user's home."""


class VmStart(TypedDict):
    """`VmStart` of the API."""

    ref: str
    force: NotRequired[bool]
    """Skip the check of the host's memory."""


class VmStatFile(TypedDict):
    """`VmStatFile` of the API."""

    ref: str
    path: str
    """A relative path is below the workspace; without one, below the image's working directory
    or the user's home. Bytes that are not UTF-8 are written as surrogate escapes.
    """
    follow: NotRequired[bool]
    """Follow a symbolic link."""


class VmStats(TypedDict):
    """`VmStats` of the API."""

    refs: NotRequired[list[str] | None]
    """Default: all VMs that have a VMM."""
    interval_s: NotRequired[float]
    """Sampling interval of CPU usage, at most 60 s."""


class VmStop(TypedDict):
    """`VmStop` of the API."""

    ref: str
    deadline_s: NotRequired[float]
    """Seconds to flush and shut down before the VMM is killed. A notice in the result says if
    the flush was not confirmed in time.
    """


class VmUse(TypedDict):
    """Host resources of one VM. Memory and CPU time are the VMM's, guest included."""

    id: str
    name: str
    state: Literal["created", "starting", "running", "paused", "stopping", "stopped", "error"]
    cpu_percent: float | None
    """Percent of one core over the interval; null, like the rest, without a VMM."""
    resident_bytes: int | None
    """`private_bytes` and `shared_bytes` together."""
    private_bytes: int | None
    """Memory of this VM only."""
    shared_bytes: int | None
    """Memory shared with others: pages unchanged since the template, programs."""
    proportional_bytes: int | None
    """`private_bytes` plus each shared page divided by the number of its users."""
    disk_bytes: int
    disk_allocated_bytes: int
    """Host disk space of the data disk."""
    agent_ms: float | None
    """Response time of the agent; null: not asked, or no answer within 2 s."""
    notice: str | None
    """Why an expected value is missing."""


class VmView(TypedDict):
    """A VM: its record and its current state, as one flat object."""

    id: str
    name: str
    state: Literal["created", "starting", "running", "paused", "stopping", "stopped", "error"]
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
    accel: Literal["kvm", "tcg"]
    labels: dict[str, str]
    created_at: float
    """Seconds of the Unix epoch."""
    workspace: WorkspaceRecord | None
    ephemeral: bool
    """Whether the VM is deleted when the client that created it ends."""
    entrypoint: list[str]
    """Supervised entry point; empty: none."""
    pending: Shape | None
    """Size and network from the next boot on, if different."""
    template: str | None
    """Key of the template that the VM is a clone of; null once it has booted."""
    snapshot: str | None
    """ID of the snapshot that the VM was cloned or restored from; null once it has booted."""
    address: str | None
    """Loopback address of the host where the guest's ports appear; never changes."""
    link: str | None
    """URL of the guest's lowest port that may be a web server's; null: no such port is open."""
    guest_address: str | None
    """Address of the guest on its own network, while the VM runs."""
    guest_address6: str | None
    """IPv6 address of the guest on its own network, if it has one."""
    pid: int | None
    """PID of the VMM while the VM runs."""
    busy: str | None
    """Method of the operation in progress, if any."""
    ttl_s: float | None
    auto_stop_s: float | None
    """Idle seconds after which the VM is stopped."""
    restart: Literal["no", "on-failure", "always"]
    health: Literal["ok", "no-answer"] | None
    """Whether the guest agent answers; null: not running, or not asked yet."""
    ends_at: float | None
    """When the VM will end by its time to live or by being idle."""
    ends_by: Literal["ttl", "idle"] | None
    operation: str | None
    """ID of the operation in progress, for `operations.cancel` and the daemon's log."""
    notice: str | None
    """One sentence for the user, such as an unconfirmed flush (hazard A1)."""


class VmWatch(TypedDict):
    """Each event is one line of JSON on channel 1 of the stream.

    Its members: `kind` (created, state, changed, deleted, notice, missed), `at`, `vm_id`,
    `name`, `state`, `text`, `lost`; members that do not apply are null.

    Call `vm.watch` before `vm.list`, so that no event is missed. An event `missed` means that
    the reader was too slow: call `vm.list` again.
    """

    ref: NotRequired[str | None]
    """Only this VM, until it is deleted; default: all VMs, without an end."""
    kinds: NotRequired[list[str]]
    """Only events of these kinds, and `missed`; default: all."""
    states: NotRequired[list[str]]
    """Only events of VMs that enter one of these states, and `missed`; default: all. With `ref`,
    the event `deleted`, which ends the stream, is always sent.
    """
    since: NotRequired[float | None]
    """Start with the events since this time (seconds of the Unix epoch). The newest 1024 events
    are kept. If older ones are missing, `missed` comes first.
    """
    follow: NotRequired[bool]
    """False: end with the newest event that is kept."""


class VmWatchFiles(TypedDict):
    """Each change below a directory is one line of JSON on channel 1 of the stream.

    Its members: `kind` and `path`, absolute. Kinds: created, modified (content, mode, owner
    or time), deleted, missed. `missed` means that changes were lost: look at the files again.
    Files in a new directory may be reported twice. A renamed file is reported as deleted and
    created; the content of a directory that is renamed away is not reported. The stream ends
    after the `deleted` of the directory itself.
    """

    ref: str
    path: str
    """A directory, as in `vm.list_directory`. Links below it are not followed."""


class VmsUse(TypedDict):
    """`VmsUse` of the API."""

    interval_s: float
    vms: list[VmUse]
    total: TotalUse


class WorkspaceApply(TypedDict):
    """Nothing is written if there are conflicts, unless `three_way`."""

    ref: str
    three_way: NotRequired[bool]
    """Write what does not conflict, and git's conflict marks into files that can hold them."""
    check: NotRequired[bool]
    """Return what would be done, write nothing."""


class WorkspaceChange(TypedDict):
    """`WorkspaceChange` of the API."""

    name: str
    status: str
    """A: added, D: deleted, M: modified, T: another type of file."""


class WorkspaceDiff(TypedDict):
    """The text is sent on channel 1 of the stream."""

    ref: str
    style: NotRequired[Literal["patch", "stat", "word"]]
    """`stat`: numbers of lines; `word`: changed words in `[-` `-]` and `{+` `+}`."""
    since_commit: NotRequired[bool]
    """Diff against the prepared commit instead of the tree as it was copied in."""
    width: NotRequired[int]
    """Columns of `stat`, 40 to 1000."""


class WorkspaceExport(TypedDict):
    """The patch is sent on channel 1 of the stream."""

    ref: str
    since_commit: NotRequired[bool]
    """Diff against the prepared commit instead of the tree as it was copied in."""


class WorkspaceExportBranch(TypedDict):
    """`WorkspaceExportBranch` of the API."""

    ref: str
    branch: str
    include_uncommitted: NotRequired[bool]
    """Commit uncommitted changes on top; the guest is not changed."""
    fresh: NotRequired[bool]
    """Never advance an existing branch: use NAME-2, NAME-3 ...; no branch if nothing changed."""


class WorkspaceInspect(TypedDict):
    """`WorkspaceInspect` of the API."""

    path: str
    guest_path: NotRequired[str | None]
    include_untracked: NotRequired[bool]
    branch: NotRequired[str | None]
    from_ref: NotRequired[str | None]
    full: NotRequired[bool]
    plain: NotRequired[bool]
    exclude: NotRequired[list[str]]
    result: NotRequired[str | None]
    """Branch for the result; the request fails if the branch could not be created later."""
    names: NotRequired[bool]
    """Return the names of the files."""


class WorkspacePlan(TypedDict):
    """The files and commit that `workspace.prepare` would copy."""

    host_path: str
    guest_path: str
    commit: str | None
    """Null: a plain directory."""
    branch: str | None
    files: list[str]
    bytes: int
    untracked_left_out: int


class WorkspacePrepare(TypedDict):
    """`WorkspacePrepare` of the API."""

    ref: str
    path: str
    guest_path: NotRequired[str | None]
    include_untracked: NotRequired[bool]
    branch: NotRequired[str | None]
    """Create this branch in the guest."""
    from_ref: NotRequired[str | None]
    """Start point of `branch`."""
    full: NotRequired[bool]
    """Copy all history, the contents of submodules, and the LFS objects that the host has."""
    plain: NotRequired[bool]
    """Copy any directory as it is; not with the options of repositories."""
    exclude: NotRequired[list[str]]
    """Patterns of paths to leave out, as in `.gitignore`; exports leave them out, too."""
    read_only: NotRequired[bool]
    """Nothing in the guest can write to the copy, and nothing can be exported from it."""
    directory: NotRequired[str | None]
    """Default directory of later commands, relative to the top of the repository."""


class WorkspaceRecord(TypedDict):
    """The workspace that was prepared in a VM."""

    host_path: str
    guest_path: str
    commit: str
    """The commit that is checked out in the guest (hazard A3)."""
    branch: str | None
    directory: str | None
    """Default directory of commands, relative to `guest_path`; None means `guest_path` itself."""
    base: str | None
    """Id of the base that exports compare with; None if an older banger made the workspace."""
    is_plain: bool
    """Whether this is a directory without a repository; `commit` is then a constant."""
    include_untracked: bool
    """Whether untracked files were copied."""
    full: bool
    """Whether all history was copied."""
    has_new_branch: bool
    """Whether the prepare created `branch`."""
    exclude: list[str]
    """Patterns of paths that were left out, as in `.gitignore`."""
    is_read_only: bool
    """Whether nothing in the guest can write the workspace; nothing is exported from it."""


class WorkspaceStatus(TypedDict):
    """A workspace in the guest and its files on the host, both since the prepare."""

    host_path: str
    guest_path: str
    commit: str | None
    """The prepared commit; null: a plain directory."""
    branch: str | None
    guest_commit: str | None
    """Null, like the next two, if the guest's git cannot tell."""
    guest_branch: str | None
    guest_commits: int | None
    """Number of commits since the prepared one."""
    changes: list[WorkspaceChange]
    """In the guest, committed or not."""
    host_commit: str | None
    host_branch: str | None
    host_changes: list[WorkspaceChange]
    """Detected by size, time and mode."""
    is_read_only: bool
    is_stale: bool | None
    """Whether the host's files have changed since the copy; null: they cannot be read."""
    notices: list[str]
    """Sentences for the user."""


class WorkspaceSync(TypedDict):
    """Names that conflict stay as they are on both sides; the others are synced."""

    ref: str
    check: NotRequired[bool]
    """Return what would be done, write nothing."""
    prefer: NotRequired[Literal["host", "guest"] | None]
    """Replace conflicting files with those of this side. Some conflicts stay: two names that
    differ only in case, a file where the other side has a directory, an untracked file of the
    host.
    """
    names: NotRequired[list[str]]
    """With `prefer`: only these names, and what is below them."""
