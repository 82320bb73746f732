"""What VMs take together."""

from __future__ import annotations

from banger.api.usage import TotalUse, VmUse
from banger.engine.views.stats import sum_uses
from banger.model.names import VmId
from banger.model.vm import VmState

MIB = 2**20


def use(number: int, *, private: int, shared: int, proportional: int) -> VmUse:
    return VmUse(
        id=VmId(f"{number:012x}"),
        name=f"vm-{number}",
        state=VmState.RUNNING,
        cpu_percent=12.5,
        resident_bytes=(private + shared) * MIB,
        private_bytes=private * MIB,
        shared_bytes=shared * MIB,
        proportional_bytes=proportional * MIB,
        disk_bytes=1024 * MIB,
        disk_allocated_bytes=5 * MIB,
        agent_ms=1.0,
    )


STOPPED = VmUse(
    id=VmId("f" * 12),
    name="stopped",
    state=VmState.STOPPED,
    cpu_percent=None,
    resident_bytes=None,
    private_bytes=None,
    shared_bytes=None,
    proportional_bytes=None,
    disk_bytes=1024 * MIB,
    disk_allocated_bytes=7 * MIB,
    agent_ms=None,
)


def test_pages_that_vms_share_count_once() -> None:
    """Three clones that have the same 60 MiB of their template; one that has ended."""
    clones = [use(n, private=40, shared=60, proportional=60) for n in range(3)]
    assert sum_uses([*clones, STOPPED]) == TotalUse(
        vms=3,
        cpu_percent=37.5,
        memory_bytes=180 * MIB,
        private_bytes=120 * MIB,
        shared_bytes=60 * MIB,
        disk_allocated_bytes=22 * MIB,
    )


def test_nothing_is_nothing() -> None:
    assert sum_uses([]).memory_bytes == 0
