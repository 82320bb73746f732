"""The drivers of the product, each with a VMM that runs on any host: what tests are repeated for.

QEMU is the real one, emulating. Firecracker needs KVM, so its driver has the stand-in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from banger.vmm.firecracker.driver import FirecrackerDriver
from banger.vmm.firecracker.probe import probe_firecracker
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.probe import probe_qemu
from tests.support.agent import find_or_build_agent
from tests.support.firecracker.program import write_program

Open = Callable[[Path], Awaitable[Any]]
"""Returns the driver; the directory is for what it needs."""


async def _open_qemu(_: Path) -> QemuDriver:
    return QemuDriver(await probe_qemu())


async def _open_firecracker(directory: Path) -> FirecrackerDriver:
    agent = find_or_build_agent(directory / "agent")
    program = write_program(directory, agent=agent, version="1.12.1")
    return FirecrackerDriver(await probe_firecracker(str(program)))


DRIVERS: dict[str, Open] = {"qemu": _open_qemu, "firecracker": _open_firecracker}
