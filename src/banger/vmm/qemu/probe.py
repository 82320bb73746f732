"""Probe this host's QEMU, and whether it can be jailed. Called once per daemon.

Starts QEMU (`--version`) and bubblewrap; writes nothing.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass

from banger.errors import HostNotReady, ToolFailed
from banger.host import programs
from banger.host.setup import require_programs
from banger.vmm.jail import JailFacts
from banger.vmm.probe import probe_jail

log = logging.getLogger(__name__)

OLDEST = (7, 2)
"""The first with `-netdev stream`."""
PROBE_DEADLINE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class QemuFacts:
    """A QEMU that was seen to work."""

    binary: str
    version: tuple[int, int, int]
    jail: JailFacts | None
    jail_reason: str
    """Why there is no jail, in one sentence; empty if there is one."""


async def probe_qemu(configured: str | None = None) -> QemuFacts:
    """Find QEMU and a working bubblewrap.

    Raises:
        ToolMissing: QEMU is not installed.
        HostNotReady: it is too old.
    """
    binary = _find_binary(configured or f"qemu-system-{os.uname().machine}")
    version = await read_version(binary)
    if version < OLDEST:
        raise HostNotReady(
            f"{binary} is version {'.'.join(map(str, version))}; "
            f"{'.'.join(map(str, OLDEST))} or newer is needed.",
            hint="banger setup",
        )
    jail, reason = await probe_jail([binary, "--version"])
    if jail is None:
        log.warning("QEMU runs without a jail: %s", reason)
    elif not jail.is_sealed:
        log.info("a VMM in its jail could make user namespaces: this host lets nobody forbid it")
    return QemuFacts(binary=binary, version=version, jail=jail, jail_reason=reason)


async def read_version(binary: str) -> tuple[int, int, int]:
    """Ask a QEMU for its version.

    Raises:
        ToolMissing, ToolFailed: it does not run.
    """
    finished = await programs.run([binary, "--version"], deadline_s=PROBE_DEADLINE_S)
    return parse_version(finished.text)


def parse_version(untrusted_text: str) -> tuple[int, int, int]:
    """Return the version from what `--version` prints.

    Raises:
        ToolFailed: it is not in there.
    """
    match = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", untrusted_text)
    if match is None:
        raise ToolFailed("QEMU does not print its version.", details=untrusted_text[:200])
    return int(match[1]), int(match[2]), int(match[3] or 0)


def _find_binary(name: str) -> str:
    require_programs(name)
    return os.path.realpath(programs.find_tool(name) or name)
