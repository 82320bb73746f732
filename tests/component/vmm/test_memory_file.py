"""Machines whose memory begins as a file: real QEMU, with the preload library, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from banger.errors import HostNotReady, VmmFailed
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.qemu import memory_preload, qmp
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.probe import probe_qemu
from tests.component.vmm.machines import make_layout, make_machine

DEADLINE_S = 60.0
MEMORY_BYTES = 128 * 2**20


@pytest.fixture
def config(short_dir: Path) -> MachineConfig:
    """A machine that waits for its state; its memory file is as a template's."""
    memory = short_dir / "memory, of one"
    memory.touch()
    os.truncate(memory, MEMORY_BYTES)
    memory.chmod(0o400)
    return dataclasses.replace(make_machine(make_layout(short_dir)), memory=memory)


@contextlib.asynccontextmanager
async def spawned(
    config: MachineConfig, *, is_jailed: bool
) -> AsyncIterator[tuple[QemuDriver, VmmHandle]]:
    """A VMM, ended on leaving; the whole within a deadline."""
    facts = await probe_qemu()
    if is_jailed and facts.jail is None:
        pytest.skip(facts.jail_reason)
    if not is_jailed:
        facts = dataclasses.replace(facts, jail=None, jail_reason="test")
    async with asyncio.timeout(DEADLINE_S):
        driver = QemuDriver(facts)
        handle = await driver.spawn(config, network=None)
        try:
            yield driver, handle
        finally:
            await driver.kill(handle)


@pytest.mark.parametrize("is_jailed", [True, False])
def test_the_memory_file_is_open_for_reading_only(
    config: MachineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_jailed: bool
) -> None:
    """D8, E5: in every VMM, from wherever banger is installed."""
    there = tmp_path / "a b:c"
    shutil.copytree(memory_preload.FOLDER, there)
    monkeypatch.setattr(memory_preload, "FOLDER", there)

    async def scenario() -> None:
        async with spawned(config, is_jailed=is_jailed) as (_, handle):
            # The jail needs a moment to become QEMU; then it waits for a state.
            status = await qmp.query_status(handle.control_socket, deadline_s=30)
            assert status == "inmigrate"
            assert config.memory is not None
            assert open_modes(handle.process.pid, config.memory) == {os.O_RDONLY}
            assert open_modes(handle.process.pid, config.data) == {os.O_RDWR}

    asyncio.run(scenario())


def open_modes(pid: int, path: Path) -> set[int]:
    """How a process has a file open."""
    found = set()
    wanted = path.stat()
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            facts = os.stat(f"/proc/{pid}/fd/{number}")
            if (facts.st_dev, facts.st_ino) == (wanted.st_dev, wanted.st_ino):
                lines = Path(f"/proc/{pid}/fdinfo/{number}").read_text().splitlines()
                (flags,) = (line.split()[1] for line in lines if line.startswith("flags:"))
                found.add(int(flags, 8) & os.O_ACCMODE)
    return found


@pytest.mark.parametrize("is_jailed", [True, False])
def test_a_vmm_that_has_not_loaded_the_library_does_not_start(
    config: MachineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_jailed: bool
) -> None:
    """D8: the dynamic linker goes on without it; then the file cannot be opened at all."""
    library = tmp_path / os.uname().machine / "banger-memory-preload.so"
    library.parent.mkdir()
    library.touch()
    monkeypatch.setattr(memory_preload, "FOLDER", tmp_path)

    async def scenario() -> None:
        async with spawned(config, is_jailed=is_jailed) as (driver, handle):
            with pytest.raises(VmmFailed, match=r"ended with status \d+: .*memory") as caught:
                await driver.wait_ready(handle, deadline_s=1000)
            assert "preload" in (caught.value.details or "")

    asyncio.run(scenario())


def test_a_banger_without_the_library_says_so(
    config: MachineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_preload, "FOLDER", tmp_path)

    async def scenario() -> None:
        with pytest.raises(HostNotReady, match="memory preload library"):
            async with spawned(config, is_jailed=False):
                pass

    asyncio.run(scenario())
