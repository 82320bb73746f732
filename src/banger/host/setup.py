"""Install packages that the host lacks: the half of `banger setup` that makes changes.

Changes the host only by the commands that `plan_setup` returns (packages, a range
of subordinate ids), each shown before it runs; takes no locks (package managers
have their own) and writes no files. If the process dies, the package manager's own
recovery applies. Standard library only: `scripts/` runs this before a virtual environment exists.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Sequence

from banger.errors import HostNotReady, ToolFailed, ToolMissing
from banger.host import subids
from banger.host.packages import (
    RUNTIME,
    find_missing,
    find_package_manager,
    find_providers,
    format_install,
    is_replaced,
    name_missing,
    plan_install,
)
from banger.host.programs import find_tool, run_foreground
from banger.host.tools import Tool

Commands = tuple[tuple[str, ...], ...]

TRIES = 3
PAUSE_BEFORE_RETRY_S = 5.0


def plan_setup(tools: Sequence[Tool] = RUNTIME) -> Commands:
    """Return the commands that make this host ready; empty if it is, or if none are known."""
    as_root = os.geteuid() == 0
    manager = find_package_manager()
    commands: Commands = ()
    if manager is not None:
        commands = plan_install(manager, find_missing(tools), as_root=as_root)
    if not as_root and subids.find_lacking(getpass.getuser(), os.getuid()):
        commands += subids.plan_grant(getpass.getuser(), as_root=as_root)
    return commands


def find_setup_command(tools: Sequence[Tool] = RUNTIME) -> str | None:
    """Return `plan_setup` as one line for a shell, or None."""
    return format_install(plan_setup(tools)) or None


def run_setup(say: Callable[[str], None], *, tools: Sequence[Tool] = RUNTIME) -> None:
    """Make this host ready. Idempotent; pass each command to `say` before it runs.

    Raises:
        HostNotReady: a tool is still missing afterwards.
        ToolFailed: a command failed, three times.
    """
    for command in plan_setup(tools):
        say(f"$ {format_install([command])}")
        _run_with_retries(command, say)
    require_setup(tools)


def require_setup(tools: Sequence[Tool] = RUNTIME) -> None:
    """Check that all required tools are installed; name all that are missing (hazard H8).

    Raises:
        HostNotReady: a tool is missing; the hint is the command line that installs all.
    """
    required = [tool for tool in tools if tool.required and not is_replaced(tool)]
    lacking = [name for tool in required for name in name_missing(tool)]
    if os.geteuid() != 0 and subids.find_lacking(getpass.getuser(), os.getuid()):
        lacking.append("subordinate ids")
    if lacking:
        names = ", ".join(lacking)
        raise HostNotReady(f"This host lacks: {names}.", hint=find_setup_command(tools))


def require_programs(*programs: str) -> None:
    """Check that all of these programs are installed (hazard H8).

    Raises:
        ToolMissing: names all missing programs; the hint installs everything that this host
            lacks, so that the next command does not fail for another tool.
    """
    missing = [program for program in programs if find_tool(program) is None]
    if not missing:
        return
    raise ToolMissing(f"This host lacks: {', '.join(missing)}.", hint=_hint_for(missing))


def _hint_for(missing: Sequence[str]) -> str:
    providers = find_providers(missing)
    if not providers:
        return "banger doctor"  # a program named by the user's configuration
    tools = dict.fromkeys((*RUNTIME, *providers))
    return find_setup_command(tuple(tools)) or "banger setup"


def _run_with_retries(command: Sequence[str], say: Callable[[str], None]) -> None:
    """Run one command, with retries: mirrors and package locks fail temporarily."""
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
    """Keep debconf from asking questions; use `env`, since sudo passes no environment on."""
    sudo = ("sudo",) if command[0] == "sudo" else ()
    return (*sudo, "env", "DEBIAN_FRONTEND=noninteractive", *command[len(sudo) :])
