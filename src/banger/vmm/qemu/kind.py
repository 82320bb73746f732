"""What the engine is given of QEMU before one is started."""

from __future__ import annotations

from banger.config import Settings
from banger.model.vm import Accel
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.probe import probe_qemu
from banger.vmm.qemu.proof import find_failure


class Qemu:
    """The QEMU that the settings name."""

    process_names = ("qemu-system-", "bwrap$")

    def list_programs(self, settings: Settings) -> tuple[str, ...]:
        """Return QEMU's program."""
        return (settings.qemu.binary,)

    async def open(self, settings: Settings) -> QemuDriver:
        """Return the driver of this host's QEMU, which is asked for its version."""
        return QemuDriver(await probe_qemu(settings.qemu.binary))

    async def find_proof_failure(self, settings: Settings, accel: Accel) -> str | None:
        """Run a guest of a few instructions."""
        return await find_failure(settings.qemu.binary, accel)


DRIVER = Qemu()
