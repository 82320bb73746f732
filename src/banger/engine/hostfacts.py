"""What the engine knows of its host: probed when first needed, once per daemon.

A read-only verb never probes (hazard B8); the first create or start does.
"""

from __future__ import annotations

import asyncio

from banger.config import Settings
from banger.errors import HostNotReady
from banger.host.accel import probe_cpu, prove_kvm
from banger.model.vm import Accel
from banger.vmm import Driver
from banger.vmm.qemu import QemuDriver, probe_qemu


class HostFacts:
    """Probes with memory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._driver: Driver | None = None
        self._accel: Accel | None = None
        self.cpu = probe_cpu()

    async def driver(self) -> Driver:
        """Return the driver for this host's QEMU.

        Raises:
            HostNotReady: QEMU is missing or too old.
        """
        async with self._lock:
            if self._driver is None:
                facts = await probe_qemu(self._settings.text("qemu.binary"))
                self._driver = QemuDriver(facts)
            return self._driver

    async def accel(self) -> Accel:
        """Return how guests are run here: KVM if it is proven, unless the configuration decides.

        Raises:
            HostNotReady: the configuration asks for KVM and it does not work.
        """
        async with self._lock:
            if self._accel is None:
                self._accel = await self._decide()
            return self._accel

    async def _decide(self) -> Accel:
        wanted = self._settings.text("accel")
        if wanted == "tcg":
            return Accel.TCG
        proof = await prove_kvm(self._settings.text("qemu.binary"), cpu=self.cpu)
        if wanted == "kvm" and not proof.usable:
            raise HostNotReady(
                f"The configuration asks for KVM, which does not work here: {proof.reason}",
                hint="banger doctor",
            )
        return Accel.KVM if proof.usable else Accel.TCG
