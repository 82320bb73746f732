"""A daemon that is killed right after it started a VMM: prints the handle, then waits.

Run as `python start_and_die.py DRIVER DIRECTORY`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from tests.component.vmm.machines import make_layout, make_machine
from tests.support.drivers import DRIVERS


async def main(word: str, directory: Path) -> None:
    driver = await DRIVERS[word](directory)
    handle = await driver.spawn(make_machine(make_layout(directory)), network=None)
    await driver.wait_ready(handle, deadline_s=30)
    sys.stdout.buffer.write(msgspec.json.encode(handle) + b"\n")
    sys.stdout.buffer.flush()
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
