"""The files of this host that QEMU sees inside its jail. Pure.

A machine that boots sees its kernel; a clone the memory that it begins as, and the library by
which QEMU keeps that file as it is.
"""

from __future__ import annotations

from pathlib import Path

from banger.model.vm import Accel
from banger.vmm.driver import MachineConfig
from banger.vmm.jail import View
from banger.vmm.qemu.memory_preload import preload_variables

PRELOAD = "/banger-memory-preload.so"
"""Where the jail shows it: the dynamic linker takes no path with a space or a colon."""


def plan_view(config: MachineConfig, *, preload: Path | None) -> View:
    """Return the view of a machine; `preload` is the library for one whose memory is a file."""
    files = config.shared
    disks = tuple(path for path in (files.root, files.modules) if path is not None)
    devices = ("/dev/kvm",) if config.accel is Accel.KVM else ()
    if config.memory is None or preload is None:
        kernel = (files.bzimage, files.initramfs)
        return View(readable=(*disks, *kernel), writable=(config.data,), devices=devices)
    return View(
        readable=(*disks, config.memory),
        writable=(config.data,),
        placed=((preload, PRELOAD),),
        devices=devices,
        variables=tuple(preload_variables(PRELOAD, config.memory).items()),
    )
