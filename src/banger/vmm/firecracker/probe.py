"""Probe this host's Firecracker, and whether it can be jailed. Called once per daemon.

Starts Firecracker (`--version`) and bubblewrap; writes nothing.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

from banger.errors import HostNotReady
from banger.host import programs
from banger.host.setup import require_programs
from banger.vmm.firecracker.versions import Version, find_obstacle, parse_version
from banger.vmm.jail import JailFacts
from banger.vmm.probe import probe_jail

log = logging.getLogger(__name__)

PROBE_DEADLINE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class FirecrackerFacts:
    """A Firecracker that was seen to work."""

    binary: str
    version: Version
    jail: JailFacts | None
    jail_reason: str
    """Why there is no jail, in one sentence; empty if there is one."""


async def probe_firecracker(configured: str) -> FirecrackerFacts:
    """Find Firecracker and a working bubblewrap.

    Raises:
        ToolMissing: Firecracker is not installed.
        HostNotReady: banger does not work with its version.
    """
    require_programs(configured)
    binary = os.path.realpath(programs.find_tool(configured) or configured)
    version = await read_version(binary)
    if obstacle := find_obstacle(version):
        raise HostNotReady(obstacle, hint="banger setup")
    trial = [binary, "--version"]
    # Released programs are static, and need nothing of the host's system.
    jail, reason = await probe_jail(trial, directories=())
    if jail is None:
        jail, reason = await probe_jail(trial)
    if jail is None:
        log.warning("Firecracker runs without a jail: %s", reason)
    return FirecrackerFacts(binary=binary, version=version, jail=jail, jail_reason=reason)


async def read_version(binary: str) -> Version:
    """Ask a Firecracker for its version.

    Raises:
        ToolMissing, ToolFailed: it does not run.
    """
    finished = await programs.run([binary, "--version"], deadline_s=PROBE_DEADLINE_S)
    return parse_version(finished.text)
