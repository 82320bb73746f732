"""What the engine is given of QEMU before one is started."""

from __future__ import annotations

from banger.config import Settings
from banger.host.accel import CpuFacts, KvmVerdict, prove_kvm
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.probe import probe_qemu


class Qemu:
    """The QEMU that the settings name."""

    process_names = ("qemu-system-", "bwrap$")

    def list_programs(self, settings: Settings) -> tuple[str, ...]:
        """Return QEMU's program."""
        return (settings.qemu.binary,)

    async def open(self, settings: Settings) -> QemuDriver:
        """Return the driver of this host's QEMU, which is asked for its version."""
        return QemuDriver(await probe_qemu(settings.qemu.binary))

    async def prove_kvm(self, settings: Settings, cpu: CpuFacts) -> KvmVerdict:
        """Run a guest of a few instructions on KVM."""
        return await prove_kvm(settings.qemu.binary, cpu=cpu)


DRIVER = Qemu()
