"""The leak audit finds what it is there to find."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from banger.host.programs import spawn_detached
from tests.support import leaks
from tests.support.installations import wait_for


def test_audit_names_a_process_by_its_arguments(short_dir: Path) -> None:
    log = short_dir / "log"
    pid = spawn_detached(["tail", "-f", str(log)], log_file=log)
    _wait_for_arguments(pid)
    found = _end_all(short_dir)
    assert pid in found
    assert _wait_status(pid) == -signal.SIGKILL


def test_audit_names_a_process_by_its_environment(short_dir: Path) -> None:
    pid = spawn_detached(
        ["sleep", "60"], log_file=short_dir / "log", env={"XDG_STATE_HOME": str(short_dir)}
    )
    _wait_for_arguments(pid)
    found = _end_all(short_dir)
    _wait_status(pid)
    assert found == [pid]
    assert not leaks.find_processes(short_dir)


def test_audit_names_a_bound_socket(short_dir: Path) -> None:
    path = short_dir / "a.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert f"listening socket: {path}" in leaks.find_leaks(short_dir, [])
    assert leaks.find_leaks(short_dir, []) == []


def test_audit_names_files_of_vms_and_operations(tmp_path: Path) -> None:
    for name in ("vms/0123456789ab/console.log", "staging/image.x/root", "logs/bangerd.log"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / ".banger.db.tmp").touch()
    assert sorted(leaks.find_leaks(tmp_path, [tmp_path])) == [
        f"file: {tmp_path}/.banger.db.tmp",
        f"file: {tmp_path}/staging/image.x",
        f"file: {tmp_path}/vms/0123456789ab",
    ]


def _end_all(directory: Path) -> list[int]:
    found = leaks.find_processes(directory)
    leaks.end_processes(found)
    return [identity.pid for identity in found]


def _wait_for_arguments(pid: int) -> None:
    """Return when a program that was just started has its arguments.

    The kernel closes the descriptors that are closed on exec, by which a start is known, a moment
    before it sets the arguments.
    """
    wait_for(lambda: Path(f"/proc/{pid}/cmdline").read_bytes(), "the program's arguments")


def _wait_status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
