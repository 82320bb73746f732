"""The QEMU driver: the protocol of `vmm.driver` for QEMU."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from banger.errors import VmmFailed
from banger.host.attachments import Attachment, Tap
from banger.host.files import space_errors
from banger.vmm.conversation import or_death
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.memory import write_memory
from banger.vmm.programhash import ProgramHash
from banger.vmm.qemu import argv, qmp
from banger.vmm.qemu.control import QemuControl
from banger.vmm.qemu.probe import QemuFacts
from banger.vmm.qemu.process import DRIVER_NAME, start

RUNNING = "running"


class QemuDriver(QemuControl):
    """Starts and saves QEMU processes, with the QEMU that was probed."""

    name = DRIVER_NAME

    def __init__(self, facts: QemuFacts) -> None:
        self.facts = facts
        self._program = ProgramHash(facts.binary)

    async def spawn(self, config: MachineConfig, *, network: Attachment | None) -> VmmHandle:
        """Start QEMU; see `vmm.driver.Driver`."""
        assert not isinstance(network, Tap), "its kind takes a socket"
        fingerprint = await self.fingerprint()
        handle = await start(config, facts=self.facts, network=network)
        return msgspec.structs.replace(handle, fingerprint=fingerprint)

    async def wait_ready(self, handle: VmmHandle, *, deadline_s: float) -> None:
        """Return when QEMU answers and the guest runs; its death ends the wait at once."""
        status = await or_death(
            handle, qmp.query_status(handle.control_socket, deadline_s=deadline_s)
        )
        if status != RUNNING:
            raise VmmFailed(f"QEMU of VM {handle.vm_id} is {status}, not running.")

    async def fingerprint(self) -> str:
        """Return QEMU's version, the hash of its program, and the form of our arguments."""
        version = ".".join(map(str, self.facts.version))
        digest = await asyncio.to_thread(self._program.read)
        return f"qemu {version} {digest} argv {argv.FORMAT}"

    async def save(
        self, handle: VmmHandle, *, state: Path, memory: Path, deadline_s: float
    ) -> None:
        """Write the devices' state of a paused QEMU to a new file, and its memory over another."""
        with space_errors(state):
            fd = os.open(state, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            talk = qmp.save_devices(handle.control_socket, fd, deadline_s=deadline_s)
            address = await or_death(handle, talk)
        finally:
            os.close(fd)
        await asyncio.to_thread(write_memory, handle.process, address=address, target=memory)

    async def restore(self, handle: VmmHandle, state: Path, *, deadline_s: float) -> None:
        """Load a saved state into a QEMU that waits for it; returns when the guest runs."""
        fd = os.open(state, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            talk = qmp.restore(
                handle.control_socket, fd, version=self.facts.version, deadline_s=deadline_s
            )
            await or_death(handle, talk)
        finally:
            os.close(fd)
