"""The VM: its spec, its record and its state machine. Pure."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from banger.errors import InvalidRequest
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.model.secrets import HeldSecrets
from banger.sizes import format_size


class VmState(StrEnum):
    """State of a VM, as users see it."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ERROR = "error"


class RestartPolicy(StrEnum):
    """Restart policy of a VM that exits by itself. A user's stop is never undone."""

    NO = "no"
    ON_FAILURE = "on-failure"
    """Restart if the VMM failed, or if its exit was not observed."""
    ALWAYS = "always"
    """Restart also if the guest powered itself off."""


class Accel(StrEnum):
    """How the guest's instructions are executed."""

    KVM = "kvm"
    TCG = "tcg"


FOLLOWS: dict[VmState, frozenset[VmState]] = {
    VmState.CREATED: frozenset({VmState.STARTING, VmState.ERROR}),
    VmState.STARTING: frozenset({VmState.RUNNING, VmState.STOPPED, VmState.ERROR}),
    VmState.RUNNING: frozenset({VmState.PAUSED, VmState.STOPPING, VmState.STOPPED, VmState.ERROR}),
    VmState.PAUSED: frozenset({VmState.RUNNING, VmState.STOPPING, VmState.STOPPED, VmState.ERROR}),
    VmState.STOPPING: frozenset(
        {VmState.STOPPED, VmState.STARTING, VmState.RUNNING, VmState.ERROR}
    ),
    VmState.STOPPED: frozenset({VmState.STARTING, VmState.ERROR}),
    VmState.ERROR: frozenset({VmState.STARTING, VmState.STOPPED}),
}
"""The state machine. A VM can be deleted in every state but `starting` and `stopping`."""

LIVE = frozenset({VmState.STARTING, VmState.RUNNING, VmState.PAUSED, VmState.STOPPING})
"""States in which a VMM process may exist."""

TEMPLATES, SNAPSHOTS = "templates", "snapshots"
"""The two kinds of saved machines, which are also the names of their directories."""

VCPU_RANGE = range(1, 65)
MEMORY_MIB_RANGE = range(128, 1024 * 1024 + 1)
DISK_MIB_RANGE = range(64, 16 * 1024 * 1024 + 1)
TTL_MAX_S = 10 * 365 * 86400.0


class Shape(Struct, frozen=True, kw_only=True):
    """The part of a spec that can be changed after creation."""

    vcpu: int
    memory_mib: int
    disk_mib: int
    network: str
    """A kind of network, or `none`."""


class Program(Struct, frozen=True, kw_only=True):
    """An image's defaults for the commands in its VMs."""

    env: dict[str, str] = field(default_factory=dict)
    """Environment of every command."""
    workdir: str = ""
    """Default directory of commands while there is no workspace."""
    user: str = ""
    """Default user of commands while there is no workspace."""
    entrypoint: tuple[str, ...] = ()
    """Command that the agent keeps running from each boot on; empty means none."""


class Ending(Struct, frozen=True, kw_only=True):
    """When a VM ends without a request, and whether it is then deleted or restarted."""

    ephemeral: bool = False
    """Deleted when the client connection that created it ends (`vm run --rm`)."""
    ttl_s: float | None = None
    """Seconds from each start until the VM is stopped, or deleted if ephemeral."""
    auto_stop_s: float | None = None
    """Idle seconds after which the VM is stopped."""
    restart: RestartPolicy = RestartPolicy.NO


class VmSpec(Struct, frozen=True, kw_only=True):
    """The complete definition of a VM: every default is filled in."""

    name: str
    image: str
    """Digest of the image's root."""
    image_name: str
    """The image's name in the request, as shown to people."""
    kernel: str
    """Digest of the kernel."""
    shape: Shape
    driver: str
    accel: Accel
    labels: dict[str, str] = field(default_factory=dict)
    program: Program = field(default_factory=Program)
    ending: Ending = field(default_factory=Ending)
    egress: Egress = field(default_factory=Egress)
    """What may leave the VM, if it has a network."""
    secrets: HeldSecrets = field(default_factory=HeldSecrets)
    """What the guest has of the secrets that its requests carry."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the VM's commands."""
        return self.secrets.variables | self.program.env | self.secrets.placeholders


class User(Struct, frozen=True, tag="user"):
    """A VM that a user asked for."""


class TemplateBuild(Struct, frozen=True, tag="template-build"):
    """A VM that will become a template: the engine's own, and in no list."""

    key: str


class Pooled(Struct, frozen=True, tag="pooled"):
    """A clone made in advance: the engine's own, and in no list, until claimed
    (`transitions.pool`)."""

    hostname: str
    """The guest's hostname, and the name of a user's VM that claims the clone without a name."""


Role = User | TemplateBuild | Pooled


class WorkspaceRecord(Struct, frozen=True, kw_only=True):
    """The workspace that was prepared in a VM."""

    host_path: str
    guest_path: str
    commit: str
    """The commit that is checked out in the guest (hazard A3)."""
    branch: str | None = None
    directory: str | None = None
    """Default directory of commands, relative to `guest_path`; None means `guest_path` itself."""
    base: str | None = None
    """Id of the base that exports compare with; None if an older banger made the workspace."""
    is_plain: bool = False
    """Whether this is a directory without a repository; `commit` is then a constant."""
    include_untracked: bool = False
    """Whether untracked files were copied."""
    full: bool = False
    """Whether all history was copied."""
    has_new_branch: bool = False
    """Whether the prepare created `branch`."""
    exclude: list[str] = field(default_factory=list)
    """Patterns of paths that were left out, as in `.gitignore`."""
    is_read_only: bool = False
    """Whether nothing in the guest can write the workspace; nothing is exported from it."""


class VmRecord(Struct, frozen=True, kw_only=True):
    """A VM's row in the database."""

    id: VmId
    spec: VmSpec
    state: VmState
    created_at: float
    """Seconds of the Unix epoch."""
    origin: str | None = None
    """The saved machine that the memory comes from (`template_origin`, `snapshot_origin`); None
    once the VM has booted itself."""
    role: Role = field(default_factory=User)
    pending: Shape | None = None
    """The shape for the next boot, while a VMM runs with the spec's."""
    error: str | None = None
    """One sentence: why the state is `error`, or why a VM stopped that its user did not stop."""
    workspace: WorkspaceRecord | None = None


def hide(spec: VmSpec, *, name: str) -> VmSpec:
    """Return the spec of the engine's own VM of the same shape, without anything of a user's."""
    return replace(
        spec,
        name=name,
        labels={},
        program=replace(spec.program, entrypoint=()),
        ending=Ending(ephemeral=True),
        secrets=HeldSecrets(),
    )


def is_hidden(record: VmRecord) -> bool:
    """Tell whether a VM is the engine's own: in no list, and found by no name."""
    return not isinstance(record.role, User)


class EventKind(StrEnum):
    """Kind of an event."""

    CREATED = "created"
    STATE = "state"
    CHANGED = "changed"
    """`vm.set` has changed the VM."""
    DELETED = "deleted"
    NOTICE = "notice"
    """News for the VM's user: it is about to end, or its agent is silent."""
    MISSED = "missed"
    """Events before this one are lost: the listener was too slow, or they are not kept."""


class VmEvent(Struct, frozen=True, kw_only=True):
    """An event of a VM."""

    kind: EventKind
    at: float
    """Seconds of the Unix epoch."""
    vm_id: VmId | None = None
    name: str | None = None
    state: VmState | None = None
    """The new state, of `created` and `state`."""
    text: str | None = None
    """The text of a `notice`; the reason of a `state`; what `changed`."""
    lost: int | None = None
    """How many events were `missed`, if that is known."""


def next_spec(record: VmRecord) -> VmSpec:
    """Return the spec of a VM's next boot, with the pending shape."""
    return replace(record.spec, shape=record.pending or record.spec.shape)


def template_of(origin: str | None) -> str | None:
    """Return the key of the template that an origin names, or None."""
    return _member(origin, TEMPLATES)


def snapshot_of(origin: str | None) -> str | None:
    """Return the id of the snapshot that an origin names, or None."""
    return _member(origin, SNAPSHOTS)


def template_origin(key: str) -> str:
    """Return the origin of VMs that start from a template."""
    return f"{TEMPLATES}/{key}"


def snapshot_origin(snapshot_id: str) -> str:
    """Return the origin of VMs that start from a snapshot."""
    return f"{SNAPSHOTS}/{snapshot_id}"


def _member(origin: str | None, kind: str) -> str | None:
    found, _, name = (origin or "").partition("/")
    return name if found == kind else None


def require_transition(before: VmState, after: VmState) -> None:
    """Check a change of state.

    Raises:
        ValueError: the state machine has no such transition (a bug in the caller).
    """
    if after not in FOLLOWS[before]:
        raise ValueError(f"a VM cannot go from {before} to {after}")


def require_sizes(*, vcpu: int, memory_mib: int, disk_mib: int) -> None:
    """Check a VM's sizes before anything is made (hazard C7).

    Raises:
        InvalidRequest: a size is out of range.
    """
    for what, value, allowed, shown, example in (
        ("vcpu", vcpu, VCPU_RANGE, str, "2"),
        ("memory", memory_mib, MEMORY_MIB_RANGE, format_size, "2G"),
        ("disk", disk_mib, DISK_MIB_RANGE, format_size, "8G"),
    ):
        if value not in allowed:
            raise InvalidRequest(
                f"{what} {shown(value)} is out of range: {shown(allowed.start)} to "
                f"{shown(allowed.stop - 1)} are allowed.",
                hint=f"--{what} {example}",
            )


def require_ending(*, ttl_s: float | None, restart: RestartPolicy, ephemeral: bool) -> None:
    """Check when a VM is to end, and whether it is then restarted (hazard C7).

    Raises:
        InvalidRequest: a value is out of range, or two exclude each other.
    """
    if ttl_s is not None and not 1 <= ttl_s <= TTL_MAX_S:
        raise InvalidRequest(
            "The time to live is out of range: 1 second to 10 years are allowed.",
            hint="--ttl 2h",
        )
    if ephemeral and restart is not RestartPolicy.NO:
        raise InvalidRequest(
            "A VM that is deleted at the end cannot have a restart policy.",
            hint="leave out --rm or --restart",
        )
