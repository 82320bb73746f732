"""QEMU: software emulation anywhere, hardware virtualisation where KVM was proven."""

from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.kind import DRIVER
from banger.vmm.qemu.probe import QemuFacts, probe_qemu

__all__ = ["DRIVER", "QemuDriver", "QemuFacts", "probe_qemu"]
