"""What QEMU this host has, and whether it can be sandboxed. Called once per daemon.

Starts QEMU (`--version`) and bubblewrap; writes nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from banger.errors import BangerError, HostNotReady, ToolFailed
from banger.host import programs
from banger.host.setup import require_programs
from banger.vmm.qemu.sandbox import SandboxFacts, plan_sandboxed

log = logging.getLogger(__name__)

OLDEST = (7, 2)
"""The first with `-netdev stream`."""
PROBE_DEADLINE_S = 20.0
SYSTEM_DIRECTORIES = ("/usr", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/alternatives")


@dataclass(frozen=True, kw_only=True)
class QemuFacts:
    """A QEMU that was seen to work."""

    binary: str
    version: tuple[int, int, int]
    sandbox: SandboxFacts | None
    sandbox_reason: str
    """Why there is no sandbox, in one sentence; empty if there is one."""


class ProgramHash:
    """The hash of a program's file, read again only when the file is another one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._digest = ""

    def read(self) -> str:
        """Return the file's sha256 in hex.

        Raises:
            HostNotReady: it is not there any more.
        """
        try:
            with open(self._path, "rb") as file:
                facts = os.fstat(file.fileno())
                seen = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
                if seen != self._seen:
                    self._digest = hashlib.file_digest(file, "sha256").hexdigest()
                    self._seen = seen
        except OSError as error:
            raise HostNotReady(f"{self._path} cannot be read: {error.strerror}.") from error
        return self._digest


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
    sandbox, reason = await _probe_sandbox(binary)
    if sandbox is None:
        log.warning("QEMU runs without bubblewrap: %s", reason)
    return QemuFacts(binary=binary, version=version, sandbox=sandbox, sandbox_reason=reason)


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


async def _probe_sandbox(binary: str) -> tuple[SandboxFacts | None, str]:
    """Try the sandbox for real: some hosts have bubblewrap and forbid user namespaces."""
    bwrap = programs.find_tool("bwrap")
    if bwrap is None:
        return None, "bubblewrap is not installed."
    facts = _sandbox_facts(bwrap, binary)
    try:
        await programs.run(
            plan_sandboxed(facts, [binary, "--version"]), deadline_s=PROBE_DEADLINE_S
        )
    except BangerError as error:
        return None, f"bubblewrap does not work on this host: {error.message}"
    return facts, ""


def _sandbox_facts(bwrap: str, binary: str) -> SandboxFacts:
    paths = [Path(name) for name in SYSTEM_DIRECTORIES if Path(name).exists()]
    if not any(Path(binary).is_relative_to(path) for path in paths):
        paths.append(Path(binary))
    return SandboxFacts(
        binary=bwrap,
        shown=tuple(str(path) for path in paths if not path.is_symlink()),
        links=tuple((os.readlink(path), str(path)) for path in paths if path.is_symlink()),
    )
