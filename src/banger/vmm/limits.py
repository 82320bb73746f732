"""How much of the host a VM may take, from what it was promised. Pure; figures in ADR 0052.

The fences are wide: what meets one is killed, throttled or refused, and a guest that does what it
may never should. They are there for a VMM that was taken over by its guest, or has a bug (E5).
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

from banger.model.vm import Accel

MIB = 2**20
OWN_MIB = 512
"""A VMM's, its sandbox's and its network's own memory, and room for the pages of files that were
read for it, which the kernel takes back before it kills anybody."""
TRANSLATED_MIB = 1024
"""The most that QEMU keeps of translated code (`tb-size`'s default)."""
EMULATED_CPU_MIB = 256
"""Of each emulated processor: its TLBs, which grow with what the guest touches, and the lists of
what was translated for it."""
OWN_CPU_PERCENT = 100
"""One processor for what is no processor of the guest: disks, consoles, the network's frames."""
IO_THREADS = 64
"""QEMU's pool of threads for disks grows to this."""
OWN_TASKS = 64
"""Its other threads (a handful), the sandbox, the network's two processes; and room."""
OPEN_FILES = 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a VM's processes together may take."""

    memory_bytes: int
    cpu_percent: int
    tasks: int


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
