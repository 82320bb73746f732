"""Build our programs in C for the wheel's architectures and put them into the package.

A hatchling build hook; also a small command: `python build.py --version` prints the agent's
version string (for its Makefile), `python build.py` builds all programs for this machine into
the source tree (for editable installs and tests).

A wheel has the programs of every architecture, built by zig's wheel, which a build requires;
with BANGER_AGENT_ARCH only that one's.

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
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

NATIVE = Path(__file__).resolve().parent
TOP = NATIVE.parent
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


class Program(NamedTuple):
    """One program or library: a folder with a Makefile, and the binary's place in the package."""

    name: str
    source: str
    folder: str

    @property
    def sources(self) -> Path:
        """Where its sources and its Makefile are."""
        return NATIVE / self.source

    def inside(self, architecture: str) -> str:
        """Return the binary's path in a wheel."""
        return f"{self.folder}/{architecture}/{self.name}"


AGENT = Program("banger-agent", "agent", "banger/guest/agent")
PROGRAMS = (
    AGENT,
    Program("banger-egress-filter", "egress-filter", "banger/network/egress-filter"),
    Program("banger-ssh-proxy", "ssh-proxy", "banger/client/ssh-proxy"),
    Program("banger-tap", "tap", "banger/vmm/tap"),
    Program("banger-with-parent", "with-parent", "banger/vmm/with-parent"),
    Program("banger-memory-preload.so", "memory-preload", "banger/vmm/qemu/memory-preload"),
)


def agent_version() -> str:
    """Return the package's version and a short hash of the agent's sources.

    The hash makes a changed agent visible: it is in HELLO, and templates are keyed by it.
    """
    project = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]
    digest = hashlib.sha256()
    build = [AGENT.sources / "Makefile", NATIVE / "build.mk"]
    for file in sorted([*AGENT.sources.glob("*.[ch]"), *build]):
        digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return f"{project['version']}+{digest.hexdigest()[:12]}"


def parse_architecture(name: str) -> str:
    """Return the architecture's one name, as `uname -m` says it; ends the build if unknown."""
    if name.lower() not in ARCHITECTURES:
        raise SystemExit(f"banger: no support for the architecture {name}")
    return ARCHITECTURES[name.lower()]


def target_architecture() -> str:
    """Return the one architecture to build for: BANGER_AGENT_ARCH, else this machine's."""
    return parse_architecture(os.environ.get("BANGER_AGENT_ARCH") or platform.machine())


def wheel_architectures() -> list[str]:
    """Return the architectures of a wheel: BANGER_AGENT_ARCH, else all."""
    name = os.environ.get("BANGER_AGENT_ARCH")
    return [parse_architecture(name)] if name else sorted(set(ARCHITECTURES.values()))


def wheel_tag(architectures: list[str]) -> str:
    """Return the tag of a wheel with the programs of these architectures.

    The programs are static, and the library asks for three functions that every libc has:
    nothing binds them to a release of one. 2.17 is the oldest that installers still know.
    """
    systems = ("manylinux_2_17", "manylinux2014", "musllinux_1_1")
    platforms = [f"{system}_{each}" for each in architectures for system in systems]
    return f"py3-none-{'.'.join(sorted(platforms))}"


def compiler(architecture: str) -> list[str]:
    """Return the C compiler: zig where its wheel is installed, else musl-gcc."""
    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-musl"]
    native = ARCHITECTURES.get(platform.machine().lower())
    if architecture == native and shutil.which("musl-gcc"):
        return ["musl-gcc"]
    raise SystemExit(
        f"banger: no compiler for {architecture}: pip install ziglang"
        + (", or install musl-tools" if architecture == native else "")
    )


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


def build_all(architecture: str) -> dict[str, str]:
    """Compile every program; return the place in a wheel of each binary."""
    return {str(build(each, architecture)): each.inside(architecture) for each in PROGRAMS}


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
        if version == "editable":
            build_all(target_architecture())  # into the source tree, which is what is imported
            return
        architectures = wheel_architectures()
        for each in architectures:
            build_data["force_include"].update(build_all(each))
        build_data["pure_python"] = False
        build_data["tag"] = wheel_tag(architectures)


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print(agent_version())  # noqa: T201 - a command's output
    else:
        for binary in build_all(target_architecture()):
            print(binary)  # noqa: T201 - a command's output
