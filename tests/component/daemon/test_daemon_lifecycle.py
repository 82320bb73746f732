"""Daemons as processes: one at a time, all or nothing, started and restarted by clients."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.client.conversation import TRIES
from banger.host.runtimedir import link_state
from tests.component.daemon.running import (
    banger,
    is_alive,
    layout_of,
    popen,
    read_events,
    scripted_daemon,
    wait_until,
)

Environ = dict[str, str]


@pytest.fixture
def environ(private_environ: Environ, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environ]:
    """A private environment; whatever daemon runs there at the end is ended.

    Commands start by themselves, and so do the daemons that they start.
    """
    monkeypatch.setenv("BANGER_TEST_FORK", "0")
    yield private_environ
    banger(private_environ, "daemon", "stop")


def status_of(environ: Environ) -> dict[str, object]:
    done = banger(environ, "daemon", "status", "--json")
    assert done.returncode == 0, done.stderr
    status: dict[str, object] = json.loads(done.stdout)
    return status


def test_the_first_call_starts_the_daemon_and_reading_its_status_does_not(
    environ: Environ,
) -> None:
    """B8: `daemon status`, `vm list` and `version` start nothing and write nothing."""
    for words, code in ((("daemon", "status"), 7), (("vm", "list", "-q"), 0), (("version",), 0)):
        assert banger(environ, *words).returncode == code
    assert [path for path in Path(environ["HOME"]).parent.rglob("*") if path.is_file()] == []
    assert banger(environ, "image", "list").returncode == 0
    status = status_of(environ)
    layout = layout_of(environ)
    assert status["socket"] == str(layout.daemon_socket)
    assert is_alive(int(str(status["pid"])))
    assert b"\0banger.daemon\0" in Path(f"/proc/{status['pid']}/cmdline").read_bytes()
    for path in (layout.daemon_log, layout.daemon_lock, layout.database):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_forked_command_has_its_daemon_forked(private_environ: Environ) -> None:
    """As in all tests but these."""
    assert banger(private_environ, "image", "list").returncode == 0
    try:
        pid = status_of(private_environ)["pid"]
        assert b".forkserver\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    finally:
        assert banger(private_environ, "daemon", "stop").returncode == 0


def test_the_daemon_is_nobodys_child_in_spirit(environ: Environ) -> None:
    """B1: own session, no terminal, working directory /, none of the client's descriptors."""
    reading, writing = os.pipe()
    try:
        assert banger(environ, "image", "list", pass_fds=(writing,)).returncode == 0
        pid = int(str(status_of(environ)["pid"]))
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        pipe = os.readlink(f"/proc/self/fd/{writing}")
        open_fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert pipe not in open_fds
        tty = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4]
        assert tty == "0"
    finally:
        os.close(reading)
        os.close(writing)


def test_many_first_calls_at_once_end_with_one_daemon(environ: Environ) -> None:
    """B7: the losers connect to the winner."""
    calls = [popen(environ, "image", "list") for _ in range(6)]
    for call in calls:
        out, err = call.communicate(timeout=60)
        assert call.returncode == 0, (out, err)
    log = layout_of(environ).daemon_log.read_text()
    assert log.count("serves version=") == 1


def test_a_daemon_that_was_killed_is_replaced(environ: Environ) -> None:
    """B5: its socket and lock file are in nobody's way."""
    banger(environ, "image", "list")
    pid = int(str(status_of(environ)["pid"]))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "the daemon is dead")
    assert layout_of(environ).daemon_socket.exists()
    assert banger(environ, "image", "list").returncode == 0
    assert status_of(environ)["pid"] != pid


def test_a_daemon_that_cannot_start_says_why_and_leaves_nothing(environ: Environ) -> None:
    """B6: the client gets the daemon's own error; no socket, no lock, and then it works."""
    layout = layout_of(environ)
    layout.config.mkdir()
    layout.config_file.write_text("driver = 'abacus'\n")
    done = banger(environ, "image", "list")
    assert done.returncode == 2
    assert b"driver" in done.stderr
    assert str(layout.config_file).encode() in done.stderr
    assert not layout.daemon_socket.exists()
    layout.config_file.unlink()
    assert banger(environ, "image", "list").returncode == 0


def test_a_failure_after_the_lock_leaves_nothing(environ: Environ) -> None:
    """B6: the engine opened, and then the socket could not be made."""
    layout = layout_of(environ)
    layout.runtime.mkdir(mode=0o700)
    layout.daemon_socket.write_text("in the way")
    done = banger(environ, "image", "list")
    assert done.returncode == 5, done.stderr
    assert layout.daemon_socket.read_text() == "in the way"
    layout.daemon_socket.unlink()
    assert banger(environ, "image", "list").returncode == 0


def test_a_second_daemon_in_the_foreground_is_refused(environ: Environ) -> None:
    banger(environ, "image", "list")
    done = banger(environ, "daemon", "run")
    assert done.returncode == 5
    assert str(status_of(environ)["pid"]).encode() in done.stderr


def test_the_foreground_daemon_ends_on_ctrl_c(environ: Environ) -> None:
    process = popen(environ, "daemon", "run")
    wait_until(layout_of(environ).daemon_socket.exists, "the daemon listens")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"stopped" in err
    assert not layout_of(environ).daemon_socket.exists()


def test_stop_restart_and_logs(environ: Environ) -> None:
    banger(environ, "image", "list")
    before = status_of(environ)["pid"]
    assert banger(environ, "daemon", "restart").returncode == 0
    assert status_of(environ)["pid"] != before
    assert banger(environ, "daemon", "stop").returncode == 0
    assert banger(environ, "daemon", "status").returncode == 7
    assert b"is not running" in banger(environ, "daemon", "stop").stderr
    assert b"image.list ok" in banger(environ, "daemon", "logs").stdout


@pytest.mark.parametrize("clients", [1, 4])
def test_another_versions_daemon_is_replaced(environ: Environ, clients: int) -> None:
    """B7, B11: by one client or by several at once; at the end there is one of ours."""
    with scripted_daemon({**environ, "BANGER_TEST_VERSION": "0.0.1"}) as old:
        calls = [popen(environ, "image", "list") for _ in range(clients)]
        for call in calls:
            out, err = call.communicate(timeout=60)
            assert call.returncode == 0, (out, err)
        old.wait(30)
    new = int(str(status_of(environ)["pid"]))
    assert new != old.pid
    log = layout_of(environ).daemon_log.read_text()
    assert log.count("serves version=") == 2


def test_a_socket_that_is_no_daemon_is_not_waited_for(environ: Environ) -> None:
    """Something that accepts and closes: an error at once, no endless loop."""
    layout = layout_of(environ)
    layout.runtime.mkdir(mode=0o700)
    link_state(layout)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(layout.daemon_socket))
        other.listen()
        process = popen(environ, "image", "list")
        for _ in range(TRIES):
            accepted, _ = other.accept()
            accepted.close()
        _, err = process.communicate(timeout=30)
        assert process.returncode == 7
        assert b"went away" in err
    layout.daemon_socket.unlink()


def test_another_runtime_directory_is_named(environ: Environ, short_dir: Path) -> None:
    """One state directory has one daemon; a second socket for it is refused with the reason."""
    banger(environ, "image", "list")
    from banger.daemon.lifecycle import daemon_lock
    from banger.errors import Conflict

    other = layout_of({**environ, "XDG_RUNTIME_DIR": str(short_dir)})
    with pytest.raises(Conflict, match="does not answer"), daemon_lock(other, deadline_s=0.1):
        pass


def test_an_ephemeral_vm_goes_with_its_client(private_environ: Environ) -> None:
    """C5: also when the client is killed; one that never became ready is not touched."""
    with scripted_daemon(private_environ):
        argv = ["vm", "run", "--rm", "--name", "box", "--", "sh", "-c", "echo up; sleep 1000"]
        process = popen(private_environ, *argv)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
        process.communicate()
        wait_until(lambda: "forgot box" in read_events(private_environ), "the VM is gone")


def test_a_create_is_cancelled_with_its_client(private_environ: Environ) -> None:
    """C5: Ctrl-C while the VM boots; the command ends when all is undone."""
    with scripted_daemon(private_environ):
        process = popen(private_environ, "vm", "run", "--rm", "--name", "hangs", "--", "true")
        assert process.stderr is not None
        # The client knows the operation, then.
        assert any(line.startswith(b"boot") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
        assert "create cancelled" in read_events(private_environ)


def test_a_delete_is_finished_without_its_client(private_environ: Environ) -> None:
    """Detached methods go on when the client is killed."""
    with scripted_daemon(private_environ):
        banger(private_environ, "vm", "create", "--name", "box", "--label", "slow=1")
        process = popen(private_environ, "vm", "delete", "box")
        wait_until(lambda: "delete began" in read_events(private_environ), "it began")
        process.kill()
        process.communicate()
        (layout_of(private_environ).state / "gate").touch()
        wait_until(lambda: "deleted box" in read_events(private_environ), "it is finished")


def test_the_log_is_bounded_and_private(short_dir: Path) -> None:
    """A daemon that lives for months does not fill the disk; nobody else reads its log."""
    script = (
        "import logging, pathlib; from banger.daemon import logs; logs.LOG_BYTES = 4000;"
        f"logs.start_logging(pathlib.Path('{short_dir}/log'), level='info', foreground=False);"
        "[logging.info('line\\nbreak %d', n) for n in range(1000)]"
    )
    from tests.component.daemon.running import with_sources

    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        env=with_sources(os.environ),
        cwd="/",
        timeout=60,
    )
    logs = sorted(short_dir.glob("log*"))
    assert len(logs) == 4
    assert sum(log.stat().st_size for log in logs) < 20_000
    assert all(stat.S_IMODE(log.stat().st_mode) == 0o600 for log in logs)
    lines = logs[0].read_text().splitlines()
    assert all(" INFO op=- " in line or line.startswith("    ") for line in lines)
