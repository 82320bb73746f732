"""Installing what the host lacks: the changing half of `banger setup`.

Changes the host only through its package manager, and only in
`install_missing`; takes no locks (package managers have their own) and writes
no files. If the process dies, the package manager's own recovery applies.
Standard library only: `scripts/` runs this before a virtual environment exists.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from banger.errors import HostNotReady, ToolFailed
from banger.host.packages import (
    Tool,
    find_missing,
    find_package_manager,
    format_install,
    plan_install,
)
from banger.host.proc import run_foreground

TRIES = 3
PAUSE_BEFORE_RETRY_S = 5.0


def find_install_command(tools: Sequence[Tool]) -> str | None:
    """Return the one line that installs what is missing of `tools`, or None.

    None also where no package is known: on an unknown distribution.
    """
    commands = _plan(find_missing(tools))
    return format_install(commands) if commands else None


def install_missing(tools: Sequence[Tool], say: Callable[[str], None]) -> tuple[Tool, ...]:
    """Install what is missing of `tools`; return what was. Idempotent.

    `say` is told each command before it runs. With sudo when not root.

    Raises:
        HostNotReady: something has no package here, or is still missing afterwards.
        ToolFailed: the package manager failed, three times.
    """
    missing = find_missing(tools)
    for command in _plan(missing):
        say(f"$ {format_install([command])}")
        _run_with_retries(command, say)
    require_tools(missing)
    return missing


def require_tools(tools: Sequence[Tool]) -> None:
    """Check that every required tool is there; names all that are not (hazard H8).

    Raises:
        HostNotReady: with the one command that installs them.
    """
    missing = [tool for tool in find_missing(tools) if tool.required]
    if missing:
        names = ", ".join(tool.program for tool in missing)
        raise HostNotReady(f"This host lacks: {names}.", hint=find_install_command(missing))


def _plan(missing: Sequence[Tool]) -> tuple[tuple[str, ...], ...]:
    manager = find_package_manager()
    if manager is None or not missing:
        return ()
    return plan_install(manager, missing, as_root=os.geteuid() == 0)


def _run_with_retries(command: Sequence[str], say: Callable[[str], None]) -> None:
    """Run one command; mirrors and package locks fail for moments."""
    for attempt in range(1, TRIES + 1):
        status = run_foreground(_without_questions(command))
        if status == 0:
            return
        failed = f"{format_install([command])} failed with status {status}."
        if attempt == TRIES:
            raise ToolFailed(failed)
        say(f"{failed} Trying again in {PAUSE_BEFORE_RETRY_S:g} s.")
        time.sleep(PAUSE_BEFORE_RETRY_S)


def _without_questions(command: Sequence[str]) -> tuple[str, ...]:
    """Keep debconf from asking; set by `env` since sudo passes no environment on."""
    sudo = ("sudo",) if command[0] == "sudo" else ()
    return (*sudo, "env", "DEBIAN_FRONTEND=noninteractive", *command[len(sudo) :])
