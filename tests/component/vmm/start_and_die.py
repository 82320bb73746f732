"""A daemon that is killed right after it started a VMM: prints the handle, then waits.

Run as `python start_and_die.py DIRECTORY`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.probe import probe_qemu
from tests.component.vmm.machines import make_layout, make_machine


async def main(directory: Path) -> None:
    driver = QemuDriver(await probe_qemu())
    handle = await driver.spawn(make_machine(make_layout(directory)), network=None)
    await driver.wait_ready(handle, deadline_s=30)
    sys.stdout.buffer.write(msgspec.json.encode(handle) + b"\n")
    sys.stdout.buffer.flush()
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
