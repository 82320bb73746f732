"""Whether VMMs can be jailed on this host: by jailing one. Called once per daemon.

Some hosts have bubblewrap and forbid user namespaces; containers often keep /proc/sys closed.
Starts bubblewrap; writes nothing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from banger.errors import BangerError
from banger.host import programs
from banger.vmm.jail import JailFacts, View, plan_jail

PROBE_DEADLINE_S = 20.0
SYSTEM_DIRECTORIES = ("/usr", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/alternatives")


FOLDER = Path(__file__).with_name("with-parent")


def find_with_parent() -> Path:
    """Return where the program for this machine's architecture belongs."""
    return FOLDER / platform.machine() / "banger-with-parent"


async def probe_jail(
    trial: Sequence[str], *, directories: Sequence[str] = SYSTEM_DIRECTORIES
) -> tuple[JailFacts | None, str]:
    """Return a jail in which the command `trial` succeeds; or why there is none, in one sentence.

    It shows the directories, and the program of `trial` if none of them has it.
    """
    bwrap = programs.find_tool("bwrap")
    if bwrap is None:
        return None, "bubblewrap is not installed."
    if not find_with_parent().exists():
        return None, f"This banger was built without {find_with_parent().name}."
    sealed = find_jail_facts(bwrap, trial[0], directories=directories, is_sealed=True)
    reason = ""
    for facts in (sealed, replace(sealed, is_sealed=False)):
        try:
            await programs.run(plan_jail(facts, trial, View()), deadline_s=PROBE_DEADLINE_S)
        except BangerError as error:
            reason = f"bubblewrap does not work on this host: {error.message}"
        else:
            return facts, ""
    return None, reason


def find_jail_facts(
    bwrap: str,
    program: str,
    *,
    directories: Sequence[str] = SYSTEM_DIRECTORIES,
    is_sealed: bool,
) -> JailFacts:
    """Return the shape of this host's system directories, for a jail around `program`."""
    paths = [Path(name) for name in directories if Path(name).exists()]
    if not any(Path(program).is_relative_to(path) for path in paths):
        paths.append(Path(program))
    return JailFacts(
        binary=bwrap,
        shown=tuple(str(path) for path in paths if not path.is_symlink()),
        links=tuple((os.readlink(path), str(path)) for path in paths if path.is_symlink()),
        is_sealed=is_sealed,
        with_parent=str(find_with_parent()),
    )
