"""Machines without an operating system: real QEMU, a guest of a few bytes.

What starting, finding and ending VMMs must hold does not depend on what runs in
them, and a kernel of ten bytes runs within 50 ms.
"""

from __future__ import annotations

import os
from pathlib import Path

from banger.layout import Layout
from banger.model.names import VmId, format_vm_id
from banger.vmm.driver import MachineConfig, SharedFiles, plan_machine
from banger.vmm.qemu.proof import render_pvh_guest
from tests.support.specs import make_spec

HALTS = bytes.fromhex(
    # As every kernel does, reset the devices that the firmware has used: their queues are in
    # memory that is another's now, and QEMU 10 writes to them when it goes on.
    "bf7000b0fe"  #   mov $0xfeb00070, %edi: the status of the first of microvm's devices
    "31c0"  #         xor %eax, %eax
    "b918000000"  #   mov $24, %ecx
    "8907"  #         mov %eax, (%edi)
    "81c700020000"  # add $512, %edi
    "e2f6"  #         loop back to mov %eax
    "66baf803"  # mov $0x3f8, %dx
    "b042"  #     mov $'B', %al
    "ee"  #       out %al, %dx
    "f4"  #       hlt
    "ebfd"  #     jmp back to hlt
)
CRASHES = bytes.fromhex(
    "0f011d08001000"  # lidt 0x100008: no interrupt table at all
    "cc"  #             int3: a triple fault
) + bytes(8)


def make_layout(directory: Path) -> Layout:
    """A layout below a short directory."""
    return Layout(
        config=directory / "c",
        data=directory / "d",
        state=directory / "s",
        cache=directory / "k",
        runtime=directory / "r",
    )


def make_machine(layout: Layout, code: bytes = HALTS, *, mac: str | None = None) -> MachineConfig:
    """A machine of its own whose kernel is `code`."""
    vm_id = VmId(format_vm_id(os.urandom(6)))
    kernel = layout.data / "kernel"
    kernel.parent.mkdir(parents=True, exist_ok=True)
    kernel.write_bytes(render_pvh_guest(code))
    disk = layout.vm_data_disk(vm_id)
    disk.parent.mkdir(parents=True)
    disk.touch()
    os.truncate(disk, 1 << 20)
    spec = make_spec(
        name="test",
        image="",
        image_name="",
        kernel="",
        memory_mib=128,
        disk_mib=64,
        network="none",
    )
    return plan_machine(
        layout=layout,
        vm_id=vm_id,
        spec=spec,
        shared=SharedFiles(
            bzimage=kernel, vmlinux=kernel, initramfs=kernel, root=kernel, modules=None
        ),
        mac=mac,
        tsc_khz=1_000_000,
    )
