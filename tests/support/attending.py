"""An attendant that says when it begins and when it ends: a line of a file each time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from banger.engine.state.engine import Attendant, Engine
from banger.engine.upkeep import opening
from banger.model.names import VmId
from banger.vmm.driver import VmmHandle


def attend_openly(file: Path) -> None:
    """Add the attendant to those of this process."""

    async def attend(_: Engine, vm_id: VmId, vmm: VmmHandle) -> None:
        _say(file, f"{vm_id} begins {vmm.process.pid}")
        try:
            await asyncio.Event().wait()
        finally:
            _say(file, f"{vm_id} ends {vmm.process.pid}")

    opening.ATTENDANTS = (*opening.ATTENDANTS, Attendant("open", attend))


def _say(file: Path, line: str) -> None:
    with open(file, "a", encoding="utf-8") as output:
        output.write(f"{line}\n")
