"""The plan: every pin of a repository, and the one that is used for each tool. Pure.

Where two files pin one tool, the first of `FILES` counts: what names versions of tools before what
a language's own files say, and an exact version before the range that a package supports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from banger.toolingplan.documents import (
    parse_mise,
    parse_package_json,
    parse_rust_toolchain_toml,
)
from banger.toolingplan.pins import Pin
from banger.toolingplan.versionfiles import (
    Parse,
    one_version,
    parse_gemfile,
    parse_go_mod,
    parse_node_version,
    parse_rust_toolchain,
    parse_tool_versions,
    parse_uv_lock,
)

FILE_MAX_BYTES = 1024 * 1024
TOOLS_MAX = 100
"""Of those to install: so many fit a setup command, however long their names."""
LOCK_MAX_BYTES = 16 * 1024 * 1024
"""Of `uv.lock`, whose head alone is looked at."""


@dataclass(frozen=True)
class PlannedPin:
    """A pin with the file that it is from. `is_chosen`: no file before it pins the tool."""

    tool: str
    version: str
    source: str
    is_chosen: bool


@dataclass(frozen=True)
class ToolingPlan:
    """What a repository pins. `problems`: a sentence for each thing that was not taken."""

    pins: tuple[PlannedPin, ...]
    problems: tuple[str, ...]

    @property
    def tools(self) -> tuple[str, ...]:
        """What is to be installed, each as `node@20`; sorted, without those that are too many."""
        tools = sorted(f"{pin.tool}@{pin.version}" for pin in self.pins if pin.is_chosen)
        return tuple(tools[:TOOLS_MAX])


FILES: dict[str, Parse] = {
    "mise.toml": parse_mise,
    ".mise.toml": parse_mise,
    ".tool-versions": parse_tool_versions,
    ".node-version": parse_node_version,
    ".nvmrc": parse_node_version,
    ".python-version": one_version("python"),
    ".ruby-version": one_version("ruby"),
    ".java-version": one_version("java"),
    "rust-toolchain.toml": parse_rust_toolchain_toml,
    "rust-toolchain": parse_rust_toolchain,
    "go.mod": parse_go_mod,
    "package.json": parse_package_json,
    "Gemfile": parse_gemfile,
    "uv.lock": parse_uv_lock,
}
"""The parser of each file, which is at the top of the repository; the first counts."""


def size_limit(name: str) -> int:
    """Return the most bytes of a file that are to be read."""
    return LOCK_MAX_BYTES if name == "uv.lock" else FILE_MAX_BYTES


def plan_tooling(untrusted_files: Mapping[str, bytes]) -> ToolingPlan:
    """Return the plan for the contents of files of `FILES`, by name."""
    pins: list[PlannedPin] = []
    problems: list[str] = []
    seen: set[str] = set()
    for name, parse in FILES.items():
        if name not in untrusted_files:
            continue
        text = untrusted_files[name].decode("utf-8", "replace").removeprefix("\ufeff")
        for found in parse(text):
            if isinstance(found, Pin):
                is_chosen = found.tool not in seen
                pins.append(PlannedPin(found.tool, found.version, name, is_chosen))
                seen.add(found.tool)
            else:
                problems.append(f"{name}: {found.text}")
    return ToolingPlan(tuple(pins), tuple(problems))
