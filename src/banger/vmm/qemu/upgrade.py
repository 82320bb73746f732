"""The newer QEMU of the distribution's backports, where this host has an old one. Read-only.

Asks apt for the package indexes of its configuration; downloads nothing. Figures: ADR 0003.
"""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Iterable, Mapping

from banger.errors import BangerError
from banger.host import programs
from banger.settings import Settings
from banger.vmm.driver import Upgrade
from banger.vmm.qemu.argv import FAST_RANDOMIZED
from banger.vmm.qemu.probe import read_version
from banger.vmm.qemu.settings import QemuSettings
from banger.vmm.qemu.tools import PROGRAM, TOOLS

APT_DEADLINE_S = 20.0
LIST_INDEXES = ("apt-get", "update", "--print-uris")
"""Lists what an update would download, and reads no package list, as `indextargets` does."""
_INDEX = re.compile(r"^'(.*/)dists/([^/]+)/main/binary-[^/]+/Packages\b", re.MULTILINE)
SUITES = {("debian", "12"): "bookworm"}
"""Suites with an old QEMU and a newer one in backports, by ID and VERSION_ID of os-release."""
ADDED_FILE = "/etc/apt/sources.list.d/{suite}.list"

Index = tuple[str, str]
"""The address and the suite of an archive."""


async def find_upgrade(
    settings: Settings, *, release: Mapping[str, str] | None = None
) -> Upgrade | None:
    """Return the QEMU of the distribution's backports, if this host has an old one.

    `release` holds the fields of os-release; None: this host's. A QEMU that the configuration
    names is left alone.
    """
    suite = find_suite(release)
    if suite is None or settings.of(QemuSettings).binary != PROGRAM:
        return None
    version = await read_version(PROGRAM)
    if version >= FAST_RANDOMIZED:
        return None
    command = plan_upgrade(suite, await _list_indexes())
    if command is None:
        return None
    used = ".".join(map(str, version))
    fact = (
        f"QEMU {used} emulates programs at random addresses slowly, so guests run without address "
        f"randomisation; the newer QEMU of {suite}-backports is not slow."
    )
    return Upgrade(fact=fact, command=command)


def find_suite(release: Mapping[str, str] | None = None) -> str | None:
    """Return this host's suite, if it has an old QEMU and its backports a newer one."""
    if release is None:
        release = _read_release()
    return SUITES.get((release.get("ID", ""), release.get("VERSION_ID", "")))


def plan_upgrade(suite: str, indexes: Iterable[Index]) -> str | None:
    """Return the command line that installs a suite's backport of QEMU. Pure.

    `indexes` are those that apt is configured for: the archive that has the suite also has its
    backports. None if no archive has the suite.
    """
    backports = f"{suite}-backports"
    archives = {name: address for address, name in indexes}
    if suite not in archives:
        return None
    package = TOOLS[0].packages[0]
    install = f"sudo apt-get update && sudo apt-get install -t {backports} {package}"
    if backports in archives:
        return install
    line = shlex.quote(f"deb {archives[suite]} {backports} main")
    file = ADDED_FILE.format(suite=backports)
    return f"echo {line} | sudo tee -a {file} && {install}"


def _read_release() -> Mapping[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


async def _list_indexes() -> tuple[Index, ...]:
    try:
        listed = await programs.run(LIST_INDEXES, deadline_s=APT_DEADLINE_S)
    except BangerError:
        return ()
    return tuple((match[1], match[2]) for match in _INDEX.finditer(listed.text))
