"""A driver of another name: QEMU without a sandbox, whose handles say who started them."""

from __future__ import annotations

import dataclasses
import socket

from msgspec import structs

from banger.config import Settings
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.kind import Qemu
from banger.vmm.qemu.probe import probe_qemu


class ToyDriver(QemuDriver):
    """Starts QEMU as it is."""

    name = "toy"

    async def spawn(self, config: MachineConfig, *, network: socket.socket | None) -> VmmHandle:
        handle = await super().spawn(config, network=network)
        return structs.replace(handle, driver=self.name)

    async def fingerprint(self) -> str:
        return f"toy {await super().fingerprint()}"


class Toy(Qemu):
    """The kind of driver that a test adds."""

    async def open(self, settings: Settings) -> ToyDriver:
        facts = await probe_qemu(settings.qemu.binary)
        return ToyDriver(dataclasses.replace(facts, sandbox=None))


DRIVER = Toy()
