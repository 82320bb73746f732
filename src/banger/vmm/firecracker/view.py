"""The files of this host that Firecracker sees inside its jail. Pure.

Its working directory, in which it makes its sockets; the VM's disks and log; a directory for the
memory that is saved. A machine that boots sees its kernel, a clone the memory that it begins as.
"""

from __future__ import annotations

from banger.vmm import tap
from banger.vmm.driver import MachineConfig
from banger.vmm.jail import View

KVM = "/dev/kvm"


def plan_view(config: MachineConfig) -> View:
    """Return the view of a machine."""
    files = config.shared
    begins = (files.vmlinux, files.initramfs) if config.memory is None else (config.memory,)
    disks = tuple(path for path in (files.root, files.modules) if path is not None)
    return View(
        readable=(*disks, *begins),
        writable=(config.control_socket.parent, config.data, config.vmm_log, config.saving),
        devices=(KVM,) if config.mac is None else (KVM, tap.DEVICE),
    )
