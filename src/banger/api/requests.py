"""Parameters of the API's methods; `table` lists the methods.

Validation, the OpenRPC document and the reference page are derived from these structs. Unknown
fields are refused. Only the daemon and the documentation import this module and `results`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from banger.model.ifstale import IfStale
from banger.model.setup import Setup
from banger.model.vm import (
    RestartPolicy,
)


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base class of all parameters."""


class NoParams(Params, frozen=True):
    """A request without parameters."""


class VmRef(Params, frozen=True):
    ref: str
    """Name, ID, or a unique prefix of either."""


class PortSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A port or Unix socket of a guest to publish: either `guest_port` or `guest_path` is set."""

    guest_port: int | None = None
    guest_path: str | None = None
    """Path of a Unix socket in the guest; needs `host_port` or `host_path`."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """`udp` needs a port on both sides."""
    host_port: int | None = None
    """Default: the guest's port number, or a higher free one if that is taken."""
    host_address: str = "127.0.0.1"
    """An address of the host; `0.0.0.0` or `::` for all, which lets other machines connect."""
    host_path: str | None = None
    """Path of a Unix socket to create on the host instead of a port, with mode 0600."""


class VmCreate(Params, frozen=True):
    """Defaults come from the configuration, then from the host's size."""

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
    egress: str | None = None
    """Egress profile of the VM's network: `public`, `none`, `allowlist` or
    `registries`."""
    egress_rules: list[str] = field(default_factory=list)
    """Egress rules, such as `allow 203.0.113.0/24:443/tcp`, `deny 198.51.100.7`, `allow host:8080`
    or, by name, `allow *.example.org:22` and `allow @python`. The first rule that matches a
    connection decides, then the profile. The rules of the setting `egress.rules` follow, without
    rules by name if `egress` is a profile that does not take any."""
    secrets: list[str] = field(default_factory=list)
    """Names of secrets. Each is a variable of every command in the VM, with a placeholder, which
    HTTPS requests of the VM exchange for the value. The secrets' hosts are allowed. If the egress
    profile takes no names, the VM gets `registries`."""
    bandwidth_mib: int = 0
    """Most MiB per second that the VM's network carries in each direction; 0: no limit."""
    labels: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    """Environment of every command in the VM, in addition to the image's."""
    ports: list[PortSpec] = field(default_factory=list)
    """Ports to publish, as `port.add` does."""
    ttl_s: float | None = None
    """Seconds from each start after which the VM is stopped, or deleted if `ephemeral`."""
    restart: RestartPolicy = RestartPolicy.NO
    """When to restart a VM that ended by itself; not with `ephemeral`."""
    setup: Setup | None = None
    """Commands of a repository to run once; the result is kept as a template for VMs with the same
    setup."""
    template: bool = True
    """Start from a template, built if needed; false: always boot."""
    start: bool = True
    entrypoint: bool = False
    """Keep the image's entry point running; only for images without an init."""
    force: bool = False
    """Skip the checks of the host's memory and CPUs."""
    ephemeral: bool = False
    deadline_s: float | None = None
    """Boot timeout; default: 300 s emulated, 60 s on KVM."""


class VmStart(Params, frozen=True):
    ref: str
    force: bool = False
    """Skip the check of the host's memory."""


class VmList(Params, frozen=True):
    states: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


class VmDelete(Params, frozen=True):
    ref: str


class VmPrune(Params, frozen=True):
    dry_run: bool = False
    """Return the VMs to delete, delete none."""
    ids: list[str] | None = None
    """Only consider these VMs, for example those that a user confirmed; default: all."""


class VmStop(Params, frozen=True):
    ref: str
    deadline_s: float = 60.0
    """Seconds to flush and shut down before the VMM is killed.

    A notice in the result says if the flush was not confirmed in time.
    """


class VmRestart(VmStop, frozen=True):
    force: bool = False
    """Skip the check of the host's memory."""


class VmSet(Params, frozen=True):
    """Absent values are not changed.

    Name and labels change at once; so do size and network of a stopped VM. Size and network of a
    running VM change at its next boot, for example by `vm.restart`; a notice then says so.
    """

    ref: str
    vcpu: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    """Can only grow."""
    network: str | None = None
    """A kind of network, or `none`."""
    labels: dict[str, str | None] = field(default_factory=dict)
    """Labels to set; null removes a label."""
    name: str | None = None
    keep: bool = False
    """Make an `ephemeral` VM permanent: it outlives its client."""


class VmFork(Params, frozen=True):
    ref: str
    number: int = 1
    """Number of clones, 1 to 64."""
    name: str | None = None
    """The clones are NAME-1, NAME-2 ...; default: the VM's name."""
    ephemeral: bool = False
    """Delete the clones when the client's connection ends."""
    force: bool = False
    """Skip the check of the host's memory."""


class VmCommit(Params, frozen=True):
    ref: str
    name: str
    """Name of the image."""


class Terminal(Struct, frozen=True, forbid_unknown_fields=True):
    rows: int
    columns: int
    modes: list[tuple[int, int]] = field(default_factory=list)
    """Modes and their values by the numbers of RFC 4254, section 8 (1..159), such as 53 for ECHO.
    Those that Linux does not have are ignored; those not named are as in a new terminal."""


class GuestCommand(Params, frozen=True):
    """A command to run in a guest."""

    ref: str
    argv: list[str]
    """Bytes that are not UTF-8 are written as surrogate escapes."""
    env: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    """Default: the workspace, else the user's home."""
    user: str | None = None
    terminal: Terminal | None = None
    stdin: bool = False
    """Give the command an input; otherwise it reads /dev/null."""


class VmExec(GuestCommand, frozen=True):
    timeout_s: float | None = None
    if_stale: IfStale = IfStale.IGNORE


class VmStatFile(Params, frozen=True):
    ref: str
    path: str
    """A relative path is below the workspace; without one, below the image's working directory or
    the user's home. Bytes that are not UTF-8 are written as surrogate escapes."""
    follow: bool = False
    """Follow a symbolic link."""


class VmListDirectory(Params, frozen=True):
    ref: str
    path: str
    """As in `vm.stat_file`; symbolic links are followed."""


class VmWatchFiles(Params, frozen=True):
    """Each change below a directory is one line of JSON on channel 1 of the stream.

    Its members: `kind` and `path`, absolute. Kinds: created, modified (content, mode, owner or
    time), deleted, missed. `missed` means that changes were lost: look at the files again. Files in
    a new directory may be reported twice. A renamed file is reported as deleted and created; the
    content of a directory that is renamed away is not reported. The stream ends after the `deleted`
    of the directory itself.
    """

    ref: str
    path: str
    """A directory, as in `vm.list_directory`. Links below it are not followed."""


class VmCopyOut(Params, frozen=True):
    """The stream is a tar on channel 1. The guest is not trusted: extract the tar with care."""

    ref: str
    path: str
    """As in `vm.stat_file`. A path that ends with `/.` means the content of the directory."""
    follow: bool = False
    """Follow a symbolic link at the path; links below it are copied."""
    offset: int = 0
    """Bytes to leave out at the beginning of each file."""


class VmCopyIn(Params, frozen=True):
    """Send a tar on channel 0, then the control `eof`; the exit means that all was extracted."""

    ref: str
    path: str
    """An existing directory, as in `vm.stat_file`."""
    keep_owners: bool = False
    """Keep the user and group IDs of the archive; otherwise root owns everything."""
    part_offset: int | None = None
    """The archive has one file, without the bytes before this offset, which an interrupted copy has
    left in `.NAME.banger-part`. If this copy is interrupted as well, the part is kept."""


class VmChecksumFile(Params, frozen=True):
    ref: str
    path: str
    size: int
    """Number of bytes, from the beginning of the file."""


class VmSftp(Params, frozen=True):
    ref: str
    user: str | None = None
    cwd: str | None = None
    """Directory of relative names; default: the user's home."""


class VmConnect(Params, frozen=True):
    """Channel 0 carries data to the guest, channel 1 from the guest. Each side ends its direction
    with the control frame `eof`; the exit follows when both directions have ended."""

    ref: str
    host: str = "localhost"
    """An address, or a name that the guest resolves; `localhost`: 127.0.0.1, then ::1."""
    port: int | None = None
    path: str | None = None
    """Absolute path of a Unix socket, instead of a port."""
    user: str | None = None
    """User who connects to the Unix socket; default: root."""


class VmListen(Params, frozen=True):
    """Each connection is announced by a line of JSON on channel 1: `token`, for `vm.accept` within
    30 s, `peer_host` and `peer_port` (null: a Unix socket). The listener ends with the stream."""

    ref: str
    host: str | None = None
    """An IP address of the guest, or `localhost`."""
    port: int | None = None
    """Port to listen on; 0: any free port."""
    path: str | None = None
    """Absolute path of a Unix socket; default without `port`: a new socket in a new directory that
    only the user can access."""
    user: str | None = None
    """User who listens, and who owns the Unix socket; default: root."""


class VmAccept(Params, frozen=True):
    """The stream is like that of `vm.connect`."""

    token: str


class VmLogs(Params, frozen=True):
    ref: str
    log: Literal["console", "vmm"] = "console"
    follow: bool = False
    tail: int | None = None
    """Start with the last N lines."""


class VmWatch(Params, frozen=True):
    """Each event is one line of JSON on channel 1 of the stream.

    Its members: `kind` (created, state, changed, deleted, notice, missed), `at`, `vm_id`, `name`,
    `state`, `text`, `lost`; members that do not apply are null.

    Call `vm.watch` before `vm.list`, so that no event is missed. An event `missed` means that
    the reader was too slow: call `vm.list` again.
    """

    ref: str | None = None
    """Only this VM, until it is deleted; default: all VMs, without an end."""
    kinds: list[str] = field(default_factory=list)
    """Only events of these kinds, and `missed`; default: all."""
    states: list[str] = field(default_factory=list)
    """Only events of VMs that enter one of these states, and `missed`; default: all.

    With `ref`, the event `deleted`, which ends the stream, is always sent.
    """
    since: float | None = None
    """Start with the events since this time (seconds of the Unix epoch).

    The newest 1024 events are kept. If older ones are missing, `missed` comes first.
    """
    follow: bool = True
    """False: end with the newest event that is kept."""


class WorkspacePrepare(Params, frozen=True):
    ref: str
    path: str
    guest_path: str | None = None
    include_untracked: bool = False
    branch: str | None = None
    """Create this branch in the guest."""
    from_ref: str | None = None
    """Start point of `branch`."""
    full: bool = False
    """Copy all history, the contents of submodules, and the LFS objects that the host has."""
    plain: bool = False
    """Copy any directory as it is; not with the options of repositories."""
    exclude: list[str] = field(default_factory=list)
    """Patterns of paths to leave out, as in `.gitignore`; exports leave them out, too."""
    read_only: bool = False
    """Nothing in the guest can write to the copy, and nothing can be exported from it."""
    directory: str | None = None
    """Default directory of later commands, relative to the top of the repository."""


class WorkspaceInspect(Params, frozen=True):
    path: str
    guest_path: str | None = None
    include_untracked: bool = False
    branch: str | None = None
    from_ref: str | None = None
    full: bool = False
    plain: bool = False
    exclude: list[str] = field(default_factory=list)
    result: str | None = None
    """Branch for the result; the request fails if the branch could not be created later."""
    names: bool = True
    """Return the names of the files."""


class ImageBuild(Params, frozen=True):
    name: str
    suite: str | None = None
    """Default: the suite of the catalogue image of this name, else bookworm."""
    packages: list[str] = field(default_factory=list)
    recipe: str | None = None
    """Path of a recipe file; excludes `suite` and `packages`."""


class ImageImport(Params, frozen=True):
    path: str
    """An archive of `docker save`, an OCI layout or archive, or a root tar; or a pipe with one."""
    name: str | None = None
    """Default: the name in the archive, else the file's name."""


class ImageRegister(Params, frozen=True):
    name: str
    path: str
    """Absolute path of a squashfs file, which is never changed or removed."""
    init: str | None = None
    """Path of the init in the guest, empty for none; default: systemd if present."""


class ImagePull(Params, frozen=True):
    ref: str
    """`[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, by Docker's rules."""
    platform: str | None = None
    """`OS/ARCH[/VARIANT]`; default: this host's."""
    insecure: bool = False
    """Use plain HTTP."""


class ImagePrune(Params, frozen=True):
    all: bool = False
    """Delete all images that no VM uses; false: only those whose name moved to a newer image."""
    dry_run: bool = False
    """Return the images to delete, delete none."""


class ImageRef(Params, frozen=True):
    ref: str
    """Name, digest, or a unique prefix of a digest."""


class TemplateBuild(Params, frozen=True):
    """Defaults are those of `vm.create`."""

    image: str | None = None
    kernel: str | None = None
    vcpu: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    network: str | None = None
    """A kind of network, or `none`."""


class TemplateRef(Params, frozen=True):
    ref: str
    """Key, or a unique prefix."""


class OperationRef(Params, frozen=True):
    id: str
    """Operation ID, or a unique prefix."""


class KernelPull(Params, frozen=True):
    name: str
    force: bool = False
    """Download again even if present."""


class KernelFetch(Params, frozen=True):
    url: str
    """A file that `kernel.import` accepts; https, or http from loopback."""
    sha256: str
    """Hash of the file, hexadecimal."""
    name: str | None = None
    """Default: the file's name."""
    config: str | None = None
    """Absolute path of the configuration; default: the one inside the kernel."""
    force: bool = False
    """Download again even if present."""
    insecure: bool = False
    """Allow plain HTTP."""


class KernelImport(Params, frozen=True):
    """All paths are absolute."""

    name: str
    kernel: str
    """A bzImage or a vmlinux (x86-64), an Image (arm64), or a Debian package or tar with one."""
    modules: str | None = None
    """A directory such as `/lib/modules/VERSION`; default: everything is built in."""
    config: str | None = None
    """Default: the configuration inside the kernel."""


class KernelBuild(Params, frozen=True):
    """All paths are absolute."""

    name: str = "small"
    source: str | None = None
    """Kernel source tree or a tar of one; default: the distribution's source package."""
    options: str | None = None
    """File with lines such as `CONFIG_X=y`, applied after the built-in options."""


class KernelRef(Params, frozen=True):
    ref: str
    """Name, digest, or a unique prefix of a digest."""


class Gc(Params, frozen=True):
    dry_run: bool = True
