"""The VM: what was asked for, what is recorded, and which states follow which. Pure."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from banger.errors import InvalidRequest
from banger.model.names import VmId
from banger.sizes import format_size


class VmState(StrEnum):
    """What a VM is doing, as its user sees it."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ERROR = "error"


class RestartPolicy(StrEnum):
    """Whether a VM that has ended by itself is started again. A stop by its user stands."""

    NO = "no"
    ON_FAILURE = "on-failure"
    """If its VMM failed, or nobody saw how it ended."""
    ALWAYS = "always"
    """Also if its guest powered itself off."""


class Accel(StrEnum):
    """How the guest's instructions are run."""

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
"""The state machine. A VM may be deleted in every state but `starting` and `stopping`."""

LIVE = frozenset({VmState.STARTING, VmState.RUNNING, VmState.PAUSED, VmState.STOPPING})
"""States in which a VMM process may exist."""

TEMPLATES, SNAPSHOTS = "templates", "snapshots"
"""The two kinds of saved machines, and the directories that they are in."""

VCPU_RANGE = range(1, 65)
MEMORY_MIB_RANGE = range(128, 1024 * 1024 + 1)
DISK_MIB_RANGE = range(64, 16 * 1024 * 1024 + 1)
TTL_MAX_S = 10 * 365 * 86400.0


class Shape(Struct, frozen=True, kw_only=True):
    """What can be changed of a machine that was made."""

    vcpu: int
    memory_mib: int
    disk_mib: int
    network: str
    """A kind of network, or `none`."""


class Program(Struct, frozen=True, kw_only=True):
    """What an image says of the commands in its VMs."""

    env: dict[str, str] = field(default_factory=dict)
    """Variables of every command."""
    workdir: str = ""
    """Default directory of commands while there is no workspace."""
    user: str = ""
    """Default user of commands while there is no workspace."""
    entrypoint: tuple[str, ...] = ()
    """What the guest's agent keeps running from each boot on; empty: nothing."""


class Ending(Struct, frozen=True, kw_only=True):
    """How a VM ends without a request, and what follows."""

    ephemeral: bool = False
    """Deleted when the client connection that created it ends (`vm run --rm`)."""
    ttl_s: float | None = None
    """Seconds after each start after which it is stopped, or deleted if it is ephemeral."""
    auto_stop_s: float | None = None
    """Idle seconds after which it is stopped."""
    restart: RestartPolicy = RestartPolicy.NO


class VmSpec(Struct, frozen=True, kw_only=True):
    """What a VM is made of. Complete: every default has been decided."""

    name: str
    image: str
    """Digest of the image's root."""
    image_name: str
    """The name that it was asked for by; for people."""
    kernel: str
    """Digest of the kernel."""
    shape: Shape
    driver: str
    accel: Accel
    labels: dict[str, str] = field(default_factory=dict)
    program: Program = field(default_factory=Program)
    ending: Ending = field(default_factory=Ending)


class User(Struct, frozen=True, tag="user"):
    """A VM that a user asked for."""


class TemplateBuild(Struct, frozen=True, tag="template-build"):
    """A VM that is to become a template: the engine's own, and in no list."""

    key: str


class Pooled(Struct, frozen=True, tag="pooled"):
    """A clone made in advance: the engine's own, and in no list, until it is claimed
    (`transitions.pool`)."""

    hostname: str
    """What its guest is called; a user's VM that claims it gets this name if it has none."""


Role = User | TemplateBuild | Pooled


class WorkspaceRecord(Struct, frozen=True, kw_only=True):
    """The workspace that was prepared in a VM."""

    host_path: str
    guest_path: str
    commit: str
    """The commit that is checked out there (hazard A3)."""
    branch: str | None = None
    directory: str | None = None
    """Where commands run by default, relative to `guest_path`; None: in `guest_path` itself."""
    base: str | None = None
    """The id of what exports are compared with; None: an older banger put the workspace in."""


class VmRecord(Struct, frozen=True, kw_only=True):
    """A VM as the database knows it."""

    id: VmId
    spec: VmSpec
    state: VmState
    created_at: float
    """Seconds of the Unix epoch."""
    origin: str | None = None
    """The saved machine that its memory comes from (`template_origin`, `snapshot_origin`); None
    once it has booted itself."""
    role: Role = field(default_factory=User)
    pending: Shape | None = None
    """The shape that it gets at its next boot, while a VMM runs with the spec's."""
    error: str | None = None
    """Why the state is `error`, or why it was stopped if its user did not: one sentence."""
    workspace: WorkspaceRecord | None = None


def hide(spec: VmSpec, *, name: str) -> VmSpec:
    """Return the spec of the engine's own VM of the same shape: nothing of it is a user's."""
    return replace(
        spec,
        name=name,
        labels={},
        program=replace(spec.program, entrypoint=()),
        ending=Ending(ephemeral=True),
    )


def is_hidden(record: VmRecord) -> bool:
    """Tell whether a VM is the engine's own: in no list, and reached by no name."""
    return not isinstance(record.role, User)


class EventKind(StrEnum):
    """What an event tells."""

    CREATED = "created"
    STATE = "state"
    DELETED = "deleted"
    NOTICE = "notice"
    """Something that its user should know: it is about to end, its agent is silent."""
    MISSED = "missed"
    """The listener was too slow: events before this one are lost."""


class VmEvent(Struct, frozen=True, kw_only=True):
    """Something that has happened to a VM."""

    kind: EventKind
    at: float
    """Seconds of the Unix epoch."""
    vm_id: VmId | None = None
    name: str | None = None
    state: VmState | None = None
    """The new one, of `created` and `state`."""
    text: str | None = None
    """Of `notice`; and why, of `state`."""


def next_spec(record: VmRecord) -> VmSpec:
    """Return the spec of a VM's next boot: with the shape that was pending."""
    return replace(record.spec, shape=record.pending or record.spec.shape)


def template_of(origin: str | None) -> str | None:
    """Return the key of the template that an origin names, if it names one."""
    return _member(origin, TEMPLATES)


def snapshot_of(origin: str | None) -> str | None:
    """Return the id of the snapshot that an origin names, if it names one."""
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
        ValueError: the state machine has no such arrow (a bug in the caller).
    """
    if after not in FOLLOWS[before]:
        raise ValueError(f"a VM cannot go from {before} to {after}")


def require_sizes(*, vcpu: int, memory_mib: int, disk_mib: int) -> None:
    """Check a VM's sizes before anything is made (hazard C7).

    Raises:
        InvalidRequest: one of them is out of range.
    """
    for what, value, allowed, shown, example in (
        ("vcpu", vcpu, VCPU_RANGE, str, "2"),
        ("memory", memory_mib, MEMORY_MIB_RANGE, format_size, "2G"),
        ("disk", disk_mib, DISK_MIB_RANGE, format_size, "8G"),
    ):
        if value not in allowed:
            raise InvalidRequest(
                f"{what} {shown(value)} is out of range: "
                f"{shown(allowed.start)} to {shown(allowed.stop - 1)} are possible.",
                hint=f"--{what} {example}",
            )


def require_ending(*, ttl_s: float | None, restart: RestartPolicy, ephemeral: bool) -> None:
    """Check what is to become of a VM by itself (hazard C7).

    Raises:
        InvalidRequest: it is not possible, or does not go together.
    """
    if ttl_s is not None and not 1 <= ttl_s <= TTL_MAX_S:
        raise InvalidRequest(
            "The time to live is out of range: 1 second to 10 years are possible.",
            hint="--ttl 2h",
        )
    if ephemeral and restart is not RestartPolicy.NO:
        raise InvalidRequest(
            "A VM that is deleted at the end cannot be started again by itself.",
            hint="leave out --rm or --restart",
        )
