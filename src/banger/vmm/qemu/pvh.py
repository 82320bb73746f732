"""Which of a kernel's two files QEMU boots: an emulated guest the uncompressed one, where it can.

A bzImage is unpacked and relocated by the guest, at each boot; QEMU maps an ELF file, and enters it
by PVH if the kernel was built with CONFIG_PVH (Linux 5.0). Older kernels may have PVH's note in
their ELF file as well, but only Xen can enter them. Pure.
"""

from __future__ import annotations

import dataclasses

from banger.model.vm import Accel
from banger.vmm.driver import MachineConfig


def choose_kernel(config: MachineConfig) -> MachineConfig:
    """Return the machine with the kernel file to boot as its `bzimage`.

    On KVM it is always the bzImage, whose kernel chooses random addresses for itself.
    """
    if config.accel is not Accel.TCG or not config.shared.has_pvh:
        return config
    shared = dataclasses.replace(config.shared, bzimage=config.shared.vmlinux)
    return dataclasses.replace(config, shared=shared)
