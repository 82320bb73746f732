"""banger and the packages that it needs, as an installer lays them out in the emulated host.

The packages are the pinned ones, downloaded once into the cache and verified by their hashes;
banger's own wheel is built from the checkout for each run.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from banger.host import programs
from tests.kvm.cache import cached, content_hash
from tests.support.artifacts import CHECKOUT

PYTHON = "3.11"
"""Of Debian 12, which the emulated host is."""
DOWNLOAD_DEADLINE_S = 900.0


async def download(cache: Path) -> Path:
    """Return a directory with the pinned wheels, verified by their hashes."""
    pinned = _runtime_requirements((CHECKOUT / "requirements.lock").read_text("utf-8"))

    async def make(directory: Path) -> None:
        (directory / "requirements").write_text(pinned)
        options = ("--require-hashes", "--no-deps", "--requirement", directory / "requirements")
        await _pip("download", "--dest", directory, *_FOR_DEBIAN, *options)

    return await cached(cache, f"kvm-wheels-{content_hash(pinned.encode(), PYTHON.encode())}", make)


async def download_wheel(requirement: str, directory: Path) -> Path:
    """Download one wheel that nobody installs, without what it needs; return its path."""
    options = ("--only-binary", ":all:", "--no-deps", "--ignore-requires-python")
    await _pip("download", "--dest", directory, *options, requirement)
    (wheel,) = directory.glob("*.whl")
    return wheel


async def install(wheels: Path, work: Path) -> Path:
    """Build banger's wheel and lay it out with the others, as pip does; return the directory."""
    built, site = work / "wheel", work / "site"
    await _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", built, CHECKOUT)
    found = [*wheels.glob("*.whl"), *built.glob("*.whl")]
    await _pip("install", "--target", site, "--no-deps", "--no-index", *_FOR_DEBIAN, *found)
    return site


_FOR_DEBIAN = (
    *("--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON),
    *(
        word
        for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "linux")
        for word in ("--platform", f"{tag}_{platform.machine()}")
    ),
)


async def _pip(command: str, *words: str | Path) -> None:
    passed_on = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    # A wheel for this machine alone needs no cross compiler.
    passed_on["BANGER_AGENT_ARCH"] = platform.machine()
    argv = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]
    await programs.run([*argv, *map(str, words)], deadline_s=DOWNLOAD_DEADLINE_S, env=passed_on)


def _runtime_requirements(lock: str) -> str:
    """Return the lock's entries, with their hashes, for what banger itself needs."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = _closure(project["dependencies"])
    entries = re.findall(r"^[A-Za-z0-9].*?(?=\n[A-Za-z0-9]|\Z)", lock, re.DOTALL | re.MULTILINE)
    return "".join(f"{e.strip()}\n" for e in entries if _canonical(e.split("==")[0]) in wanted)


def _closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of the required packages and of those that they require."""
    found: set[str] = set()
    open_ = list(requirements)
    while open_:
        requirement = Requirement(open_.pop())
        name = _canonical(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        open_ += metadata.requires(name) or []
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
