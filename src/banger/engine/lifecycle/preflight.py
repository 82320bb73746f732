"""What a VM needs of its host, checked before anything is made of it (hazard H8).

Reads PATH; changes nothing.
"""

from __future__ import annotations

import asyncio

from banger.engine.engine import Engine
from banger.errors import ToolMissing
from banger.host.packages import RUNTIME
from banger.host.proc import find_tool
from banger.host.setup import find_setup_command
from banger.model.vm import NetworkKind


async def require_programs(engine: Engine, network: NetworkKind) -> None:
    """Check every program that making and running a VM takes, all at once.

    Raises:
        ToolMissing: names all that are missing, and the command that installs them.
    """
    programs = [engine.settings.text("qemu.binary"), "mke2fs", "ssh-keygen"]
    if network is NetworkKind.USER:
        programs.append("passt")
    await asyncio.to_thread(_require, programs)


def _require(programs: list[str]) -> None:
    missing = [program for program in programs if find_tool(program) is None]
    if missing:
        tools = [tool for tool in RUNTIME if tool.program in missing]
        raise ToolMissing(
            f"This host lacks: {', '.join(missing)}.",
            hint=find_setup_command(tools) or "banger setup",
        )
