"""Parameters and results of `vm.stats`, `vm.history` and `vm.processes`: what VMs do and use."""

from __future__ import annotations

from msgspec import Struct

from banger.api.requests import Params
from banger.model.names import VmId
from banger.model.vm import VmState


class VmStats(Params, frozen=True):
    refs: list[str] | None = None
    """Default: all VMs that have a VMM."""
    interval_s: float = 0.5
    """Sampling interval of CPU usage, at most 60 s."""


class VmHistory(Params, frozen=True):
    ref: str
    since: float | None = None
    """Only samples that ended later (seconds of the Unix epoch)."""


class VmUse(Struct, frozen=True, kw_only=True):
    """Host resources of one VM. Memory and CPU time are the VMM's, guest included."""

    id: VmId
    name: str
    state: VmState
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
    notice: str | None = None
    """Why an expected value is missing."""


class UseSample(Struct, frozen=True, kw_only=True):
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


class TotalUse(Struct, frozen=True, kw_only=True):
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


class VmsUse(Struct, frozen=True, kw_only=True):
    interval_s: float
    vms: list[VmUse]
    total: TotalUse


class GuestProcess(Struct, frozen=True, kw_only=True):
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
