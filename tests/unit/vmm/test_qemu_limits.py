"""How much a VM may take: from its size and nothing else."""

from __future__ import annotations

import resource

import pytest

from banger.model.vm import Accel
from banger.vmm.qemu.limits import MIB, plan_limits, plan_vmm_limits

STACK_BYTES = 8 * MIB


@pytest.mark.parametrize(
    ("accel", "vcpu", "memory_mib", "own_mib"),
    [
        (Accel.KVM, 1, 512, 512),
        (Accel.KVM, 8, 16384, 512),
        # Measured (ADR 0052): 2.0 GiB of guest, at most 1 GiB of translated code, 0.5 of its own.
        (Accel.TCG, 2, 2048, 512 + 1024 + 2 * 256),
    ],
)
def test_limits_follow_the_size(accel: Accel, vcpu: int, memory_mib: int, own_mib: int) -> None:
    """E5: the guest's memory and what its VMM needs; its processors and one for the rest."""
    limits = plan_limits(vcpu=vcpu, memory_mib=memory_mib, accel=accel)
    assert limits.memory_bytes == (memory_mib + own_mib) * MIB
    assert limits.cpu_percent == (vcpu + 1) * 100
    assert limits.tasks == vcpu + 128


def test_a_vmm_alone_may_map_its_memory_and_a_stack_for_each_thread() -> None:
    limits = plan_vmm_limits(vcpu=2, memory_mib=2048, accel=Accel.TCG, stack_bytes=STACK_BYTES)
    assert limits[resource.RLIMIT_DATA] == (2048 + 512 + 1024 + 512) * MIB + 130 * STACK_BYTES
    assert limits[resource.RLIMIT_CORE] == 0, "a core would hold its guest's memory (G6)"
    assert limits[resource.RLIMIT_NOFILE] == 1024


def test_files_are_not_limited_in_size() -> None:
    """A10: a disk that is larger than such a limit, or a long console log, would end the VMM."""
    limits = plan_vmm_limits(vcpu=1, memory_mib=512, accel=Accel.KVM, stack_bytes=STACK_BYTES)
    assert resource.RLIMIT_FSIZE not in limits
