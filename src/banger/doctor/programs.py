"""What `banger doctor` says about programs: there or not, new enough, usable.

Read-only (hazard B8): starts each program with its version option, or tries it on nothing.
Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from banger.errors import BangerError
from banger.host.packages import RUNTIME, is_replaced, name_missing
from banger.host.programs import Finished, run_sync
from banger.host.tools import PackageManager, Tool
from banger.settings import Settings

VERSION_DEADLINE_S = 10.0
_VERSION = re.compile(rb"(?<![0-9.])(\d+(?:\.\d+)+)")
_VERSION_OPTIONS = {
    "ssh": "-V",
    "ip": "-V",
    "mke2fs": "-V",
    "sqfstar": "-version",
    "openssl": "version",
}


class CheckState(StrEnum):
    """What a check found. Only `fail` keeps banger from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One fact about this host.

    `fact` is one sentence; `hint` a command that improves it, when there is one.
    """

    name: str
    state: CheckState
    fact: str
    hint: str | None = None


def probe_tools(manager: PackageManager | None, settings: Settings) -> Iterator[Check]:
    """Yield a check for each program or file that banger needs."""
    for tool in RUNTIME:
        name = _name(tool)
        program = str(settings.values[tool.setting]) if tool.setting else tool.program
        if missing := name_missing(replace(tool, program=program)):
            yield _missing(tool, name, missing, manager)
        elif tool.paths or program == "newuidmap":
            yield Check(name, CheckState.OK, f"{tool.program} {_verb(tool)} here.")
        elif tool.trial:
            yield _probe_trial(tool, name, program)
        else:
            yield _probe_version(tool, name, program)


def parse_version(untrusted_output: bytes) -> tuple[int, ...] | None:
    """Return the dotted number in the first line that a program says of itself, or None."""
    match = _VERSION.search(untrusted_output.partition(b"\n")[0])
    return tuple(int(part) for part in match[1].split(b".")[:3]) if match else None


def _probe_trial(tool: Tool, name: str, program: str) -> Check:
    """Tell whether a program can be used here, by using it."""
    finished = _run_briefly([program, *tool.trial])
    if finished and finished.status == 0:
        return Check(name, CheckState.OK, f"{program} works and {tool.why}.")
    said = _last_line(finished) if finished else "it did not finish in time"
    state = CheckState.FAIL if tool.required else CheckState.WARN
    return Check(name, state, f"{program} cannot be used here ({said}); {tool.otherwise}.")


def _probe_version(tool: Tool, name: str, program: str) -> Check:
    finished = _run_briefly([program, _VERSION_OPTIONS.get(name, "--version")])
    if finished is None or finished.status != 0:
        said = _last_line(finished) if finished else "it did not finish in time"
        state = CheckState.FAIL if tool.required else CheckState.WARN
        return Check(name, state, f"{program} does not run: {said}.")
    version = parse_version(finished.stdout + finished.stderr)
    if version is None:
        return Check(name, CheckState.OK, f"{program} is installed; it {tool.why}.")
    text = format_version(version)
    if tool.oldest and version < tool.oldest:
        need = format_version(tool.oldest)
        state = CheckState.FAIL if tool.required else CheckState.WARN
        return Check(name, state, f"{program} is {text}; {need} or newer is needed.")
    return Check(name, CheckState.OK, f"{program} {text} {tool.why}.")


def format_version(version: tuple[int, ...]) -> str:
    """Return `7.2.22` for (7, 2, 22)."""
    return ".".join(str(part) for part in version)


def _missing(
    tool: Tool, name: str, missing: tuple[str, ...], manager: PackageManager | None
) -> Check:
    if tool.source:
        return Check(name, CheckState.OK, f"{missing[0]} is not installed: {tool.otherwise}.")
    replaced = is_replaced(tool)
    if replaced and not tool.required:
        return Check(name, CheckState.OK, f"{missing[0]} is not installed: {tool.instead} is.")
    state = CheckState.FAIL if tool.required and not replaced else CheckState.WARN
    package = tool.package(manager) if manager else None
    where = f"package {package}" if package else "no known package on this distribution"
    verb = "are" if tool.paths or len(missing) > 1 else "is"
    lacking = " and ".join(missing)
    return Check(name, state, f"{lacking} {verb} not installed ({where}); needed: {tool.why}.")


def _name(tool: Tool) -> str:
    return tool.name or tool.program


def _verb(tool: Tool) -> str:
    return "are" if tool.paths else "is"


def _run_briefly(argv: list[str]) -> Finished | None:
    """Return how a program ended, whatever its status; None if it had to be killed."""
    try:
        return run_sync(argv, deadline_s=VERSION_DEADLINE_S, ok=range(-64, 256))
    except BangerError:
        return None


def _last_line(finished: Finished) -> str:
    lines = (finished.stderr or finished.stdout).decode("utf-8", "replace").strip().splitlines()
    return lines[-1].rstrip(".") if lines else f"status {finished.status}"
