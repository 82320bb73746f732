"""When the QEMU of the distribution's backports is named, with real programs in PATH."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from banger.config import load_settings
from banger.settings import Settings
from banger.vmm.driver import Upgrade
from banger.vmm.qemu.tools import PROGRAM, TOOLS
from banger.vmm.qemu.upgrade import find_upgrade, plan_upgrade

APT = shutil.which("apt-get")
PACKAGE = TOOLS[0].packages[0]
MIRROR = "http://mirror.example/debian/"
PACKAGES = "dists/bookworm/main/binary-amd64/Packages.xz"
INSTALL = f"sudo apt-get update && sudo apt-get install -t bookworm-backports {PACKAGE}"
DEBIAN_12 = {"ID": "debian", "VERSION_ID": "12"}


def test_the_archive_that_has_the_suite_is_asked_for_its_backports() -> None:
    command = plan_upgrade("bookworm", [("http://other.example/", "x"), (MIRROR, "bookworm")])
    line = f"deb {MIRROR} bookworm-backports main"
    file = "/etc/apt/sources.list.d/bookworm-backports.list"
    assert command == f"echo '{line}' | sudo tee -a {file} && {INSTALL}"


def test_backports_that_apt_knows_are_not_added_again() -> None:
    indexes = [(MIRROR, "bookworm"), (MIRROR, "bookworm-backports")]
    assert plan_upgrade("bookworm", indexes) == INSTALL


def test_without_an_archive_of_the_suite_there_is_no_command() -> None:
    assert plan_upgrade("bookworm", [("http://other.example/", "x")]) is None


def _add_program(directory: Path, name: str, text: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{text}\n")
    (directory / name).chmod(0o755)


def _settings(**environ: str) -> Settings:
    return load_settings(Path("/nonexistent"), environ)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in front of PATH, with an old QEMU and an apt that knows one archive."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    _add_program(tmp_path, PROGRAM, "echo QEMU emulator version 7.2.22")
    _add_program(tmp_path, "apt-get", f"echo \"'{MIRROR}{PACKAGES}' bookworm_Packages 0 \"")
    return tmp_path


def _find(settings: Settings, release: dict[str, str]) -> Upgrade | None:
    return asyncio.run(find_upgrade(settings, release=release))


def test_an_old_qemu_is_named_with_the_command_that_installs_the_newer(programs: Path) -> None:
    upgrade = _find(_settings(), DEBIAN_12)
    assert upgrade is not None
    assert "QEMU 7.2.22" in upgrade.fact
    assert upgrade.command.endswith(INSTALL)


@pytest.mark.parametrize("release", [{"ID": "debian", "VERSION_ID": "13"}, {"ID": "fedora"}, {}])
def test_nothing_is_named_where_backports_have_none(
    programs: Path, release: dict[str, str]
) -> None:
    assert _find(_settings(), release) is None


def test_a_new_qemu_is_left_alone(programs: Path) -> None:
    _add_program(programs, PROGRAM, "echo QEMU emulator version 8.0.0")
    assert _find(_settings(), DEBIAN_12) is None


def test_a_qemu_that_the_configuration_names_is_left_alone(programs: Path) -> None:
    settings = _settings(BANGER_QEMU_BINARY=str(programs / PROGRAM))
    assert _find(settings, DEBIAN_12) is None


@pytest.mark.skipif(APT is None, reason="apt is not installed")
def test_an_archive_that_has_no_main_is_not_offered(programs: Path) -> None:
    """Asks the real apt, which knows three archives with the suite and has downloaded nothing."""
    stable = "deb http://other.example/debian bookworm stable"
    last = stable.replace("other", "last")
    (programs / "list").write_text(f"{stable}\ndeb {MIRROR} bookworm main contrib\n{last}\n")
    configuration = programs / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "{programs}/list"; Dir::Etc::sourceparts "/dev/null";'
        f'Dir::State::lists "{programs}";'
    )
    _add_program(programs, "apt-get", f'APT_CONFIG={configuration} exec {APT} "$@"')
    upgrade = _find(_settings(), DEBIAN_12)
    assert upgrade is not None
    assert upgrade.command.startswith(f"echo 'deb {MIRROR} bookworm-backports main'")


def test_an_apt_that_fails_names_nothing(programs: Path) -> None:
    _add_program(programs, "apt-get", "exit 100")
    assert _find(_settings(), DEBIAN_12) is None
