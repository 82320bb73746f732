"""A driver of another name: QEMU without a jail, whose handles say who started them."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

from msgspec import structs

from banger.host.attachments import Attachment
from banger.settings import Settings
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.kind import Qemu
from banger.vmm.qemu.probe import probe_qemu
from banger.vmm.sockets import connect_agent_socket
from tests.support.toys.driver.settings import ToySettings


class ToyDriver(QemuDriver):
    """Starts QEMU as it is."""

    name = "toy"

    async def spawn(self, config: MachineConfig, *, network: Attachment | None) -> VmmHandle:
        handle = await super().spawn(config, network=network)
        # Only the driver knows where the agent is.
        return structs.replace(handle, driver=self.name, agent_socket="")

    async def fingerprint(self) -> str:
        return f"toy {await super().fingerprint()}"


class Toy(Qemu):
    """The kind of driver that a test adds."""

    def list_programs(self, settings: Settings) -> tuple[str, ...]:
        return (settings.of(ToySettings).binary,)

    async def connect_agent(self, handle: VmmHandle, *, deadline_s: float) -> socket.socket:
        path = Path(handle.control_socket).with_name("agent.sock")
        return await connect_agent_socket(str(path), deadline_s=deadline_s)

    async def open(self, settings: Settings) -> ToyDriver:
        facts = await probe_qemu(settings.of(ToySettings).binary)
        return ToyDriver(dataclasses.replace(facts, jail=None))


DRIVER = Toy()
