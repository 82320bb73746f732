"""What the engine knows of its host: probed when first needed, once per daemon
and setting.

A read-only verb never probes (hazard B8); the first create or start does.
"""

from __future__ import annotations

import asyncio

from banger.engine.state.settings import SettingsNow
from banger.errors import HostNotReady
from banger.host.accel import probe_cpu, prove_kvm
from banger.model.vm import Accel
from banger.vmm import Driver
from banger.vmm.qemu import QemuDriver, probe_qemu


class HostFacts:
    """Probes with memory."""

    def __init__(self, settings: SettingsNow) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._drivers: dict[str, Driver] = {}
        self._accels: dict[tuple[str, str], Accel] = {}
        self.cpu = probe_cpu()

    async def driver(self) -> Driver:
        """Return the driver for this host's QEMU.

        Raises:
            HostNotReady: QEMU is missing or too old.
        """
        async with self._lock:
            binary = self._settings().text("qemu.binary")
            if binary not in self._drivers:
                self._drivers[binary] = QemuDriver(await probe_qemu(binary))
            return self._drivers[binary]

    async def accel(self) -> Accel:
        """Return how guests are run here: KVM if it is proven, unless the configuration decides.

        Raises:
            HostNotReady: the configuration asks for KVM and it does not work.
        """
        async with self._lock:
            settings = self._settings()
            wanted, binary = settings.text("accel"), settings.text("qemu.binary")
            if (wanted, binary) not in self._accels:
                self._accels[wanted, binary] = await self._decide(wanted, binary)
            return self._accels[wanted, binary]

    async def _decide(self, wanted: str, binary: str) -> Accel:
        if wanted == "tcg":
            return Accel.TCG
        proof = await prove_kvm(binary, cpu=self.cpu)
        if wanted == "kvm" and not proof.usable:
            raise HostNotReady(
                f"The configuration asks for KVM, which does not work here: {proof.reason}",
                hint="banger doctor",
            )
        return Accel.KVM if proof.usable else Accel.TCG
