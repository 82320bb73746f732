"""The build of the programs in C by the package's hook; the agent's size and version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.agent import current_version
from tests.support.artifacts import CHECKOUT

LARGEST_BYTES = 200 * 1024


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with a changed one, where a build may write next to them."""
    top = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CHECKOUT / "native", top / "native")
    shutil.copy(CHECKOUT / "pyproject.toml", top)
    with (top / "native/agent/stat.c").open("a") as file:
        file.write("/* changed */\n")
    return top


def hook(top: Path, *words: str) -> list[str]:
    """Run the hook as a command and return the lines that it says."""
    command = [sys.executable, str(top / "native/build.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.splitlines()


def test_hook_builds_into_the_package(copy: Path) -> None:
    agent, egress_filter, proxy, tap, with_parent, preload = map(Path, hook(copy))
    assert agent == copy / "src/banger/guest/agent" / os.uname().machine / "banger-agent"
    assert egress_filter.parent == copy / "src/banger/network/egress-filter" / os.uname().machine
    assert preload.parent == copy / "src/banger/vmm/qemu/memory-preload" / os.uname().machine
    assert proxy.parent == copy / "src/banger/client/ssh-proxy" / os.uname().machine
    assert tap.parent == copy / "src/banger/vmm/tap" / os.uname().machine
    assert with_parent.parent == copy / "src/banger/vmm/with-parent" / os.uname().machine
    assert all(os.access(each, os.X_OK) for each in (egress_filter, proxy, tap, with_parent))
    done = subprocess.run([agent, "--version"], capture_output=True, text=True, check=True)
    assert [done.stdout.strip()] == hook(copy, "--version")
    require_small_and_static(agent.read_bytes())


def require_small_and_static(binary: bytes) -> None:
    assert len(binary) < LARGEST_BYTES
    assert binary[:4] == b"\x7fELF"
    # No program interpreter: a static program runs in any guest.
    assert b"/ld-" not in binary


def test_a_wheel_has_every_program(copy: Path, tmp_path: Path) -> None:
    """And only those; with BANGER_AGENT_ARCH of that architecture alone."""
    for name in ("README.md", "LICENSE", "THIRD_PARTY_NOTICES.txt"):
        shutil.copy(CHECKOUT / name, copy)
    package = copy / "src/banger/__init__.py"
    package.parent.mkdir(parents=True, exist_ok=True)
    package.touch()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    machine = os.uname().machine
    environ = {**os.environ, "BANGER_AGENT_ARCH": machine}
    subprocess.run(command, cwd=copy, env=environ, check=True, timeout=300)
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name.endswith(
        f"-py3-none-manylinux2014_{machine}.manylinux_2_17_{machine}.musllinux_1_1_{machine}.whl"
    )
    with zipfile.ZipFile(wheel) as archive:
        programs = [each for each in archive.infolist() if each.external_attr >> 16 & 0o111]
        names = [each.filename for each in programs]
    assert sorted(names) == [
        f"banger/client/ssh-proxy/{machine}/banger-ssh-proxy",
        f"banger/guest/agent/{machine}/banger-agent",
        f"banger/network/egress-filter/{machine}/banger-egress-filter",
        f"banger/vmm/qemu/memory-preload/{machine}/banger-memory-preload.so",
        f"banger/vmm/tap/{machine}/banger-tap",
        f"banger/vmm/with-parent/{machine}/banger-with-parent",
    ]


def test_a_changed_source_changes_the_version_and_is_built(copy: Path) -> None:
    """D5, A9: a template made with another agent must not be taken for this one's."""
    [changed] = hook(copy, "--version")
    assert changed != current_version()
    agent, *_ = map(Path, hook(copy))
    make = ["make", "-q", "-C", copy / "native/agent", f"OUT={agent.parent}", agent]
    assert subprocess.run(make, check=False).returncode == 0
    (copy / "native/agent/stat.c").touch()
    assert subprocess.run(make, check=False).returncode == 1, "it would be built"


def test_an_architecture_without_support_is_refused(copy: Path) -> None:
    command = [sys.executable, str(copy / "native/build.py")]
    environ = {**os.environ, "BANGER_AGENT_ARCH": "sparc"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 1
    assert "sparc" in done.stderr
