"""Build the guest agent for the wheel's architecture and put it into the package.

A hatchling build hook; also a small command: `python hatch_build.py --version`
prints the agent's version string (for the Makefile), `python hatch_build.py`
builds into the source tree (for editable installs and tests).

Owns src/banger/guest/agent/ARCH/banger-agent, which is never committed. The
binary is compiled aside and renamed, so a build that dies leaves the old one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
SOURCES = TOP / "agent"
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def agent_version() -> str:
    """Return the package's version and a short hash of the agent's sources.

    The hash makes a changed agent visible: it is in HELLO, and templates are keyed by it.
    """
    project = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]
    digest = hashlib.sha256()
    for file in sorted([*SOURCES.glob("*.[ch]"), SOURCES / "Makefile"]):
        digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return f"{project['version']}+{digest.hexdigest()[:12]}"


def target_architecture() -> str:
    """Return the architecture to build for: BANGER_AGENT_ARCH, else this machine's."""
    name = os.environ.get("BANGER_AGENT_ARCH") or platform.machine()
    if name.lower() not in ARCHITECTURES:
        raise SystemExit(f"banger-agent: no support for the architecture {name}")
    return ARCHITECTURES[name.lower()]


def compiler(architecture: str) -> list[str]:
    """Return the C compiler: musl-gcc if it builds for `architecture`, else zig's wheel."""
    native = ARCHITECTURES.get(platform.machine().lower())
    if architecture == native and shutil.which("musl-gcc"):
        return ["musl-gcc"]
    try:
        import ziglang  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        raise SystemExit(
            "banger-agent: no musl compiler: install musl-tools, or pip install ziglang"
        ) from None
    return [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-musl"]


def build_agent(architecture: str) -> Path:
    """Compile the agent into the source tree and return the binary's path."""
    out = TOP / "src" / "banger" / "guest" / "agent" / architecture
    command = [
        "make",
        "-s",
        "-C",
        str(SOURCES),
        f"OUT={out}",
        f"ARCH={architecture}",
        f"CC={' '.join(compiler(architecture))}",
        f"VERSION={agent_version()}",
    ]
    subprocess.run(command, check=True)
    return out / "banger-agent"


def _hook_interface() -> type:
    """Return hatchling's base class; without hatchling this file is only a command."""
    try:
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface
    except ImportError:
        return object
    return BuildHookInterface


class AgentBuildHook(_hook_interface()):  # type: ignore[misc]
    """Compile before the wheel is assembled, and include the binary in it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling for each target; the source distribution needs nothing."""
        if self.target_name != "wheel":
            return
        architecture = target_architecture()
        binary = build_agent(architecture)
        if version == "editable":
            return  # the source tree is what is imported, and the binary is in it
        inside = f"banger/guest/agent/{architecture}/banger-agent"
        build_data["force_include"][str(binary)] = inside
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-linux_{architecture}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print(agent_version())  # noqa: T201 - a command's output
    else:
        print(build_agent(target_architecture()))  # noqa: T201
