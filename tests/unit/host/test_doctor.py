"""What doctor finds out, on real files, sockets and programs."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from banger.config import load_settings
from banger.doctor import checks as doctor
from banger.doctor import programs
from banger.doctor.acceleration import UPGRADE, probe_acceleration
from banger.doctor.programs import Check, CheckState
from banger.errors import HostNotReady
from banger.host import setup
from banger.host.runtimedir import link_state
from banger.host.tools import PackageManager
from banger.layout import Layout, layout_from_environment
from banger.settings import Settings
from banger.vmm.table import find_driver_kind


def _layout(environ: dict[str, str]) -> Layout:
    return layout_from_environment(environ)


def _listing(environ: dict[str, str]) -> list[str]:
    return sorted(str(p) for p in Path(environ["HOME"]).parent.rglob("*"))


def _program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_everything_is_checked_and_nothing_is_changed(private_environ: dict[str, str]) -> None:
    """B8, H8: reading only; all checks come, also after one that failed."""
    Path(private_environ["XDG_CONFIG_HOME"], "banger").mkdir()
    Path(private_environ["XDG_CONFIG_HOME"], "banger/config.toml").write_text("vpcu = 1\n")
    before = _listing(private_environ)
    checks = doctor.probe_host(_layout(private_environ), private_environ)
    assert _listing(private_environ) == before
    names = [check.name for check in checks]
    for name in (
        "python user git qemu slirp4netns passt mmdebstrap newuidmap sqfstar mke2fs bwrap subuid "
        "accel memory limits disk runtime config daemon"
    ).split():
        assert name in names
    config = checks[names.index("config")]
    assert config.state is CheckState.FAIL
    assert "vpcu" in config.fact
    assert not doctor.is_ready(checks)


def test_each_fact_is_one_sentence(private_environ: dict[str, str]) -> None:
    """H6."""
    for check in doctor.probe_host(_layout(private_environ), private_environ):
        assert check.fact.endswith("."), check
        assert "\n" not in check.fact


def _settings(environ: dict[str, str], **values: str) -> Settings:
    return load_settings(Path("/nonexistent"), environ | values)


def test_acceleration_is_tried_and_not_assumed(
    tmp_path: Path, private_environ: dict[str, str]
) -> None:
    emulated, *_ = probe_acceleration(_settings(private_environ, BANGER_ACCEL="tcg"))
    assert (emulated.state, "emulated" in emulated.fact) == (CheckState.OK, True)
    broken = _program(tmp_path / "qemu", "echo no firmware >&2; exit 1")
    settings = _settings(private_environ, BANGER_ACCEL="tcg", BANGER_QEMU_BINARY=broken)
    (check,) = probe_acceleration(settings)
    assert check.state is CheckState.FAIL
    assert "no firmware" in check.fact


def test_the_newer_vmm_of_the_distribution_is_named(private_environ: dict[str, str]) -> None:
    """Where guests are emulated, and the distribution has one (Debian 12)."""
    settings = _settings(private_environ, BANGER_ACCEL="tcg")
    upgrade = asyncio.run(find_driver_kind("qemu").find_upgrade(settings))
    _, *others = probe_acceleration(settings)
    told = [(check.name, check.fact, check.hint) for check in others]
    assert told == ([(UPGRADE, upgrade.fact, upgrade.command)] if upgrade else [])


def test_wanted_kvm_that_does_not_work_is_a_failure(
    tmp_path: Path, private_environ: dict[str, str]
) -> None:
    broken = _program(tmp_path / "qemu", "exit 1")
    settings = _settings(private_environ, BANGER_ACCEL="kvm", BANGER_QEMU_BINARY=broken)
    (check,) = probe_acceleration(settings)
    assert check.state is CheckState.FAIL


def test_defaults_come_with_their_origin(private_environ: dict[str, str]) -> None:
    private_environ["BANGER_VM_DEFAULTS_VCPU"] = "3"
    checks = doctor.probe_host(_layout(private_environ), private_environ)
    fact = next(check.fact for check in checks if check.name == "config")
    assert "vcpu 3 (environment: BANGER_VM_DEFAULTS_VCPU)" in fact
    assert "disk_gib 8 (default)" in fact


def _with_qemu(program: str) -> Settings:
    return _settings({}, BANGER_QEMU_BINARY=program)


def test_missing_program_is_named_with_its_package() -> None:
    """H8: with the name that the package has on this distribution."""
    found = list(programs.probe_tools(PackageManager.DNF, _with_qemu("/nonexistent/qemu")))
    qemu = next(check for check in found if check.name == "qemu")
    assert qemu.state is CheckState.FAIL
    assert "/nonexistent/qemu is not installed (package qemu-system-x86-core)" in qemu.fact


@pytest.mark.parametrize(
    ("there", "states"),
    [
        ((), [CheckState.FAIL, CheckState.WARN]),
        (("passt",), [CheckState.WARN, CheckState.OK]),
        (("slirp4netns",), [CheckState.OK, CheckState.OK]),
    ],
)
def test_one_program_that_makes_networks_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], states: list[str]
) -> None:
    """H8: and the one that takes less memory is recommended, with its package."""
    for name in there:
        _program(tmp_path / name, f"echo {name} version 1.2.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("banger.host.programs.SYSTEM_PATH", str(tmp_path))
    found = {each.name: each for each in programs.probe_tools(PackageManager.APT, _settings({}))}
    checks = [found["slirp4netns"], found["passt"]]
    assert [check.state for check in checks] == states
    if "slirp4netns" not in there:
        assert "(package slirp4netns); needed: gives VMs a network" in checks[0].fact
    with pytest.raises(HostNotReady) as failure:
        setup.require_setup()
    assert ("slirp4netns" in failure.value.message) == (not there)
    assert "passt" not in failure.value.message


@pytest.mark.parametrize(
    ("text", "state", "part"),
    [
        ("echo QEMU emulator version 7.2.22", CheckState.OK, "7.2.22"),
        ("echo QEMU emulator version 10.1", CheckState.OK, "10.1"),
        ("echo QEMU emulator version 6.2.0", CheckState.FAIL, "6.2.0; 7.2 or newer is needed"),
        ("echo no library >&2; exit 127", CheckState.FAIL, "does not run: no library"),
        ("kill -SEGV $$", CheckState.FAIL, "does not run: status -11"),
    ],
)
def test_qemu_must_run_and_be_new_enough(
    tmp_path: Path, text: str, state: CheckState, part: str
) -> None:
    found = programs.probe_tools(PackageManager.APT, _with_qemu(_program(tmp_path / "qemu", text)))
    check = next(check for check in found if check.name == "qemu")
    assert (check.state, part in check.fact) == (state, True), check.fact


def test_what_is_installed_is_asked_as_it_wants_to_be() -> None:
    found = programs.probe_tools(PackageManager.APT, _with_qemu("qemu-system-x86_64"))
    assert [check.fact for check in found if "does not run" in check.fact] == []


def test_a_program_that_is_not_needed_and_does_not_run_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path / "openssl", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = programs.probe_tools(PackageManager.APT, _with_qemu("qemu-system-x86_64"))
    check = next(check for check in found if check.name == "openssl")
    assert (check.state, "does not run" in check.fact) == (CheckState.WARN, True)


def test_a_program_that_this_host_forbids_is_a_warning_that_says_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As containers do with new namespaces."""
    _program(tmp_path / "bwrap", "echo Operation not permitted >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = programs.probe_tools(PackageManager.APT, _with_qemu("qemu-system-x86_64"))
    check = next(check for check in found if check.name == "bwrap")
    assert check.state is CheckState.WARN
    assert (
        "(Operation not permitted); VMMs have no jail, only a filter of system calls" in check.fact
    )


@pytest.mark.parametrize(
    ("said", "version"),
    [
        (b"git version 2.39.5", (2, 39, 5)),
        (b"OpenSSH_9.2p1 Debian-2+deb12u6, OpenSSL 3.0.19 27 Jan 2026", (9, 2)),
        (b"passt unknown version\nThe license is version 3.0 or later\n", None),
        (b"mke2fs 1.47.0 (5-Feb-2023)", (1, 47, 0)),
        (b"", None),
        (b"\xff\xfe 1.", None),
    ],
)
def test_versions_are_found_in_what_programs_say(
    said: bytes, version: tuple[int, ...] | None
) -> None:
    assert programs.parse_version(said) == version


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ("", CheckState.FAIL),
        ("other:100000:65536\n", CheckState.FAIL),
        ("me:100000:65536\n", CheckState.OK),
        ("1234:100000:65536\n", CheckState.OK),
        ("me:100000:1000\n", CheckState.FAIL),
        ("me:100000:many\nme:5\n:::\n", CheckState.FAIL),
    ],
)
def test_subordinate_ids(tmp_path: Path, content: str, state: CheckState) -> None:
    (tmp_path / "subuid").write_text(content)
    files = (tmp_path / "subuid", tmp_path / "subuid")
    check = doctor.probe_subordinate_ids("me", 1234, files=files)
    assert check.state is state
    assert (check.hint is not None) == (state is CheckState.FAIL)


def test_subordinate_ids_without_the_files(tmp_path: Path) -> None:
    files = (tmp_path / "subuid", tmp_path / "subgid")
    assert doctor.probe_subordinate_ids("me", 1234, files=files).state is CheckState.FAIL


def test_runtime_directory_must_be_private(private_environ: dict[str, str]) -> None:
    """G1."""
    layout = _layout(private_environ)
    assert "will be created" in doctor.probe_runtime_dir(layout).fact
    layout.runtime.mkdir(mode=0o700)
    assert doctor.probe_runtime_dir(layout).state is CheckState.OK
    layout.runtime.chmod(0o750)
    check = doctor.probe_runtime_dir(layout)
    assert (check.state, check.hint) == (CheckState.FAIL, f"chmod 700 {layout.runtime}")


def test_runtime_directory_must_leave_room_for_socket_names(
    private_environ: dict[str, str],
) -> None:
    private_environ["XDG_RUNTIME_DIR"] = "/tmp/" + "x" * 80
    check = doctor.probe_runtime_dir(_layout(private_environ))
    assert check.state is CheckState.FAIL
    assert "limit is 107" in check.fact


def test_daemon_is_found_by_connecting_only(private_environ: dict[str, str]) -> None:
    """B8: neither started nor spoken to."""
    layout = _layout(private_environ)
    assert "not running" in doctor.probe_daemon(layout).fact
    layout.runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(layout.daemon_socket))
        assert "has ended" in doctor.probe_daemon(layout).fact
        server.listen()
        link_state(layout)
        assert "listens on" in doctor.probe_daemon(layout).fact
        server.settimeout(5)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1) == b""


def test_ready_means_that_nothing_failed() -> None:
    good, warned, failed = (
        Check("x", state, "A.") for state in (CheckState.OK, CheckState.WARN, CheckState.FAIL)
    )
    assert doctor.is_ready((good, warned))
    assert not doctor.is_ready((good, failed, warned))
