"""The Firecracker driver: the protocol of `vmm.driver` for Firecracker.

A saved machine is Firecracker's own snapshot of kind `Diff`: the devices' state in one file, and
in the memory file, over what it held, the pages that Firecracker has noted as written. It
notes them from the machine's start on, and forgets them with each snapshot. So what a VM's first
save writes is whole; for a later one the pages that Firecracker has of its own are read out of its
process, as for any VMM (`vmm.memory`), and what it writes of the memory is not read. ADR 0072.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec

from banger.errors import VmmFailed
from banger.host.attachments import Attachment, Socket
from banger.vmm.conversation import or_death
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.firecracker import names
from banger.vmm.firecracker.client import ask, wait_listening
from banger.vmm.firecracker.config import FORMAT
from banger.vmm.firecracker.control import FirecrackerControl, send
from banger.vmm.firecracker.probe import FirecrackerFacts
from banger.vmm.firecracker.process import DRIVER_NAME, start
from banger.vmm.firecracker.replies import InstanceState
from banger.vmm.firecracker.requests import (
    create_snapshot,
    describe_instance,
    load_snapshot,
)
from banger.vmm.firecracker.saving import lent, take_state, unread, write_own_pages
from banger.vmm.firecracker.shapes import (
    BackendType,
    MemoryBackend,
    SnapshotCreation,
    SnapshotLoad,
    SnapshotType,
)
from banger.vmm.firecracker.versions import Feature, features_of, format_version
from banger.vmm.programhash import ProgramHash

SMALL_BYTES = 3 * 2**30
"""Of memory; beyond it there is a second region (`Feature.BIG_DIFFS`)."""


class FirecrackerDriver(FirecrackerControl):
    """Starts and saves Firecracker processes, with the Firecracker that was probed."""

    name = DRIVER_NAME

    def __init__(self, facts: FirecrackerFacts) -> None:
        self.facts = facts
        self._program = ProgramHash(facts.binary)

    async def spawn(self, config: MachineConfig, *, network: Attachment | None) -> VmmHandle:
        """Start Firecracker; see `vmm.driver.Driver`."""
        assert not isinstance(network, Socket), "its kind takes a TAP"
        fingerprint = await self.fingerprint()
        handle = await start(config, facts=self.facts, network=network)
        return msgspec.structs.replace(handle, fingerprint=fingerprint)

    async def wait_ready(self, handle: VmmHandle, *, deadline_s: float) -> None:
        """Return when Firecracker answers and the guest runs; its death ends the wait at once."""
        state = await or_death(handle, _ask_state(handle, deadline_s))
        if state is not InstanceState.RUNNING:
            raise VmmFailed(f"Firecracker of VM {handle.vm_id} is {state}, not running.")

    async def fingerprint(self) -> str:
        """Return Firecracker's version, the hash of its program, and the form of the machine."""
        digest = await asyncio.to_thread(self._program.read)
        return f"firecracker {format_version(self.facts.version)} {digest} machine {FORMAT}"

    async def save(
        self, handle: VmmHandle, *, state: Path, memory: Path, deadline_s: float
    ) -> None:
        """Write the devices' state of a paused Firecracker to a new file, and its memory over
        another."""
        was_saved = Path(handle.control_socket).with_name(names.SAVED)
        is_whole = not was_saved.exists() and self._writes_whole(memory)
        was_saved.touch()
        async with lent(handle, memory) if is_whole else unread(handle) as path:
            request = create_snapshot(
                SnapshotCreation(
                    snapshot_path=names.STATE, mem_file_path=path, snapshot_type=SnapshotType.DIFF
                )
            )
            await send(handle, request, deadline_s)
        await asyncio.to_thread(take_state, handle, state)
        if not is_whole:
            await asyncio.to_thread(write_own_pages, handle, memory)

    def _writes_whole(self, memory: Path) -> bool:
        """Tell whether all that this version notes of a memory of this size is written rightly."""
        return (
            Feature.BIG_DIFFS in features_of(self.facts.version)
            or memory.stat().st_size <= SMALL_BYTES
        )

    async def restore(self, handle: VmmHandle, state: Path, *, deadline_s: float) -> None:
        """Load a saved state into a Firecracker that waits for it; returns when the guest runs."""
        target = Path(handle.control_socket).with_name(names.STATE)
        await asyncio.to_thread(shutil.copyfile, state, target)
        features = features_of(self.facts.version)
        await or_death(handle, _load(handle, features, deadline_s))


async def _ask_state(handle: VmmHandle, deadline_s: float) -> InstanceState:
    await wait_listening(handle.control_socket, deadline_s=deadline_s)
    info = await ask(handle.control_socket, describe_instance(), deadline_s=deadline_s)
    return info.state


async def _load(handle: VmmHandle, features: frozenset[Feature], deadline_s: float) -> None:
    await wait_listening(handle.control_socket, deadline_s=deadline_s)
    backend = MemoryBackend(backend_type=BackendType.FILE, backend_path=names.MEMORY)
    load = SnapshotLoad(
        snapshot_path=names.STATE, mem_backend=backend, track_dirty_pages=True, resume_vm=True
    )
    await ask(handle.control_socket, load_snapshot(load, features), deadline_s=deadline_s)
