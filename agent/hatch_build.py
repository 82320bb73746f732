"""Build our programs in C for the wheel's architecture and put them into the package.

A hatchling build hook; also a small command: `python hatch_build.py --version`
prints the agent's version string (for the Makefile), `python hatch_build.py`
builds all of them into the source tree (for editable installs and tests).

Owns the folders below src/banger that PROGRAMS names, which are never committed. A
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
from typing import Any, NamedTuple

TOP = Path(__file__).resolve().parent.parent
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


class Program(NamedTuple):
    """One program or library: a folder with a Makefile, and the binary's place in the package."""

    name: str
    sources: Path
    folder: str

    def inside(self, architecture: str) -> str:
        """Return the binary's path in a wheel."""
        return f"{self.folder}/{architecture}/{self.name}"


AGENT = Program("banger-agent", TOP / "agent", "banger/guest/agent")
GUARD = Program("banger-guard", TOP / "guard", "banger/network/guard")
KEEPER = Program("banger-keeper.so", TOP / "keeper", "banger/vmm/qemu/keeper")
PROGRAMS = (AGENT, GUARD, KEEPER)


def agent_version() -> str:
    """Return the package's version and a short hash of the agent's sources.

    The hash makes a changed agent visible: it is in HELLO, and templates are keyed by it.
    """
    project = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]
    digest = hashlib.sha256()
    for file in sorted([*AGENT.sources.glob("*.[ch]"), AGENT.sources / "Makefile"]):
        digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return f"{project['version']}+{digest.hexdigest()[:12]}"


def target_architecture() -> str:
    """Return the architecture to build for: BANGER_AGENT_ARCH, else this machine's."""
    name = os.environ.get("BANGER_AGENT_ARCH") or platform.machine()
    if name.lower() not in ARCHITECTURES:
        raise SystemExit(f"banger: no support for the architecture {name}")
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
            "banger: no musl compiler: install musl-tools, or pip install ziglang"
        ) from None
    return [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-musl"]


def build(program: Program, architecture: str) -> Path:
    """Compile a program into the source tree and return the binary's path."""
    binary = TOP / "src" / program.inside(architecture)
    command = [
        "make",
        "-s",
        "-C",
        str(program.sources),
        f"OUT={binary.parent}",
        f"ARCH={architecture}",
        f"CC={' '.join(compiler(architecture))}",
        f"PYTHON={sys.executable}",
    ]
    subprocess.run(command, check=True)
    return binary


def _hook_interface() -> type:
    """Return hatchling's base class; without hatchling this file is only a command."""
    try:
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface
    except ImportError:
        return object
    return BuildHookInterface


class ProgramsBuildHook(_hook_interface()):  # type: ignore[misc]  # any class
    """Compile before the wheel is assembled, and include the binaries in it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling for each target; the source distribution needs nothing."""
        if self.target_name != "wheel":
            return
        architecture = target_architecture()
        binaries = {str(build(each, architecture)): each.inside(architecture) for each in PROGRAMS}
        if version == "editable":
            return  # the source tree is what is imported, and the binaries are in it
        build_data["force_include"].update(binaries)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-linux_{architecture}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print(agent_version())  # noqa: T201 - a command's output
    else:
        for each in PROGRAMS:
            print(build(each, target_architecture()))  # noqa: T201 - a command's output
