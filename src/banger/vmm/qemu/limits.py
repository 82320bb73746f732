"""The limits of a VM in QEMU, by its size. Pure; figures in ADR 0052."""

from __future__ import annotations

import resource

from banger.model.vm import Accel
from banger.vmm.driver import Limits

MIB = 2**20
OWN_MIB = 512
"""Memory of QEMU itself, its jail and its network, and room for the pages of files that were
read for it, which the kernel takes back before it kills anybody."""
TRANSLATED_MIB = 1024
"""The most that it keeps of translated code (`tb-size`'s default)."""
EMULATED_CPU_MIB = 256
"""Of each emulated processor: its TLBs, which grow with what the guest touches, and the lists of
what was translated for it."""
OWN_CPU_PERCENT = 100
"""One processor for what is no processor of the guest: disks, consoles, the network's frames."""
IO_THREADS = 64
"""The pool of threads for disks grows to this."""
OWN_TASKS = 64
"""The other threads (a handful), the jail, the network's processes; and room."""
OPEN_FILES = 1024


def plan_limits(*, vcpu: int, memory_mib: int, accel: Accel) -> Limits:
    """Return the limits of all processes of a VM."""
    return Limits(
        memory_bytes=(memory_mib + _own_mib(vcpu, accel)) * MIB,
        cpu_percent=vcpu * 100 + OWN_CPU_PERCENT,
        tasks=_tasks(vcpu),
    )


def plan_vmm_limits(
    *, vcpu: int, memory_mib: int, accel: Accel, stack_bytes: int
) -> dict[int, int]:
    """Return the limits of the VMM's process by RLIMIT_ number, for hosts without scopes, too.

    RLIMIT_DATA counts what may be written and is no file's: the guest's memory, the translated
    code, the heap, and a stack for each thread, used or not. `stack_bytes` is what a
    thread's has.
    """
    stacks = _tasks(vcpu) * stack_bytes
    return {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_DATA: (memory_mib + _own_mib(vcpu, accel)) * MIB + stacks,
    }


def _own_mib(vcpu: int, accel: Accel) -> int:
    if accel is Accel.KVM:
        return OWN_MIB
    return OWN_MIB + TRANSLATED_MIB + vcpu * EMULATED_CPU_MIB


def _tasks(vcpu: int) -> int:
    return vcpu + IO_THREADS + OWN_TASKS
