"""The service manager as doctor sees it, control groups as /proc spells them."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.doctor.limits import probe_limits
from banger.doctor.programs import CheckState
from banger.host.limits.servicemanager import (
    SOCKET,
    is_own_manager,
    may_move_children,
    parse_cgroup,
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (
            "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n",
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
        ),
        ("9:name=systemd:/a\n0::/unified\n", "/unified"),
        ("0::/odd:name::x\n", "/odd:name::x"),
        ("8:pids:/\n", "/"),
        ("", "/"),
    ],
)
def test_a_process_is_in_one_group(text: str, path: str) -> None:
    assert parse_cgroup(text) == path


def test_doctor_says_why_there_are_no_scopes(short_dir: Path) -> None:
    """With systemd a command gives the user a manager; without it nothing can."""
    systemd = short_dir / "systemd-was-here"
    check = probe_limits(short_dir, systemd=systemd)
    assert (check.state, check.hint) == (CheckState.OK, None)
    systemd.mkdir()
    check = probe_limits(short_dir, systemd=systemd)
    assert (check.state, check.hint) == (CheckState.WARN, "loginctl enable-linger")
    assert f"no systemd user manager runs in {short_dir}" in check.fact


@pytest.fixture
def manager(short_dir: Path) -> Iterator[Path]:
    """The runtime directory of a manager that has ended: its socket is there, nobody listens."""
    path = short_dir / SOCKET
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        yield short_dir


def test_doctor_asks_who_is_at_the_socket(manager: Path, tmp_path: Path) -> None:
    lingering = tmp_path / pwd.getpwuid(os.getuid()).pw_name
    lingering.touch()
    assert "does not answer" in probe_limits(manager, linger=tmp_path).fact


def test_a_vm_is_not_given_to_a_manager_that_ends_sooner(manager: Path, tmp_path: Path) -> None:
    """B1: without lingering it ends at the last logout, which what a session started survives."""
    own = tmp_path / "cgroup"
    own.write_text("0::/user.slice/user-1000.slice/session-3.scope\n")
    assert not may_move_children(own=own, linger=tmp_path)
    check = probe_limits(manager, own=own, linger=tmp_path)
    assert (check.state, check.hint) == (CheckState.WARN, "loginctl enable-linger")
    assert "ends when you log out" in check.fact
    (tmp_path / pwd.getpwuid(os.getuid()).pw_name).touch()
    assert may_move_children(own=own, linger=tmp_path)


def test_what_a_manager_started_is_in_its_hands() -> None:
    """A terminal of a desktop, a unit; but not a login session, nor another user's manager."""
    uid = os.getuid()
    above = f"/user.slice/user-{uid}.slice"
    assert is_own_manager(f"0::{above}/user@{uid}.service/app.slice/terminal.scope\n")
    assert is_own_manager(f"4:memory:/\n1:name=systemd:{above}/user@{uid}.service/a.service\n")
    assert not is_own_manager(f"0::{above}/session-3.scope\n")
    assert not is_own_manager(f"0::/user.slice/user-0.slice/user@{uid + 1}.service/a.scope\n")
