"""The limits of a VM in Firecracker, by its size. Pure; figures in ADR 0071."""

from __future__ import annotations

import resource

from banger.vmm.driver import Limits

MIB = 2**20
OWN_MIB = 256
"""Memory of Firecracker itself, its jail and its network, and room for the pages of files that were
read for it, which the kernel takes back before it kills anybody."""
OWN_CPU_PERCENT = 100
"""One processor for what is no processor of the guest: disks, the network's frames."""
OWN_TASKS = 32
"""Firecracker's other two threads, the jail, the network's processes; and room."""
OPEN_FILES = 1024
"""Each connection of the host to a port of the guest takes one."""


def plan_limits(*, vcpu: int, memory_mib: int) -> Limits:
    """Return the limits of all processes of a VM."""
    return Limits(
        memory_bytes=(memory_mib + OWN_MIB) * MIB,
        cpu_percent=vcpu * 100 + OWN_CPU_PERCENT,
        tasks=vcpu + OWN_TASKS,
    )


def plan_vmm_limits(*, vcpu: int, memory_mib: int, stack_bytes: int) -> dict[int, int]:
    """Return the limits of Firecracker's process by RLIMIT_ number, for hosts without scopes, too.

    RLIMIT_DATA counts what may be written and is no file's, or a private file's: the guest's
    memory, the heap, and a stack of `stack_bytes` for each thread, used or not.
    """
    stacks = (vcpu + OWN_TASKS) * stack_bytes
    return {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_DATA: (memory_mib + OWN_MIB) * MIB + stacks,
    }
