"""A daemon that is not where one looks, or stands still."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from banger.doctor.checks import probe_daemon
from banger.doctor.programs import CheckState
from tests.component.daemon.running import (
    banger,
    is_alive,
    layout_of,
    popen,
    scripted_daemon,
    wait_until,
)
from tests.support.namespaces import small_filesystem

Environ = dict[str, str]


@pytest.fixture
def daemon(private_environ: Environ) -> Iterator[Environ]:
    """The environment of a running scripted daemon."""
    with scripted_daemon(private_environ):
        yield private_environ


@pytest.mark.parametrize("kind", ["another", "none", "closed", "missing", "long"])
def test_a_daemon_of_another_runtime_directory_is_found(
    daemon: Environ, short_dir: Path, kind: str
) -> None:
    """B7: after su, in cron, with a variable that leads to nowhere: the same daemon."""
    other = short_dir / "other"
    other.mkdir(mode=0o000 if kind == "closed" else 0o700)
    values = {"another": str(other), "closed": str(other), "missing": "/nowhere/at/all"}
    values["long"] = f"{other}/{'x' * 120}"
    asked = {**daemon, "XDG_RUNTIME_DIR": values.get(kind, "")}
    own = Path(f"/run/user/{os.getuid()}")
    # Without a variable that is looked in, where a daemon of the user's own may listen.
    prefix = small_filesystem(own, "64k") if own.is_dir() else ()
    assert _pid(asked, prefix=prefix) == _pid(daemon)


def test_a_socket_whose_directory_was_removed_is_made_anew(daemon: Environ) -> None:
    """As after logging out and in again; the daemon and its VMs live on."""
    pid = _pid(daemon)
    layout = layout_of(daemon)
    shutil.rmtree(layout.runtime)
    assert _pid(daemon) == pid
    assert layout.daemon_socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_daemon_that_stands_still_is_named_and_replaced(private_environ: Environ) -> None:
    """H9: the pid and what to do, in seconds; `doctor` says so, `daemon restart` ends it."""
    assert banger(private_environ, "daemon", "restart").returncode == 0
    pid = _pid(private_environ)
    os.kill(pid, signal.SIGSTOP)
    try:
        commands = [popen(private_environ, *words) for words in (("daemon", "status"), ("ps",))]
        for command in commands:
            _, said = command.communicate(timeout=60)
            assert command.returncode == 7
            assert f"(pid {pid}) is stopped".encode() in said
            assert b"hint: banger daemon restart" in said
        check = probe_daemon(layout_of(private_environ))
        assert check.state is CheckState.FAIL and str(pid) in check.fact
        assert banger(private_environ, "daemon", "restart").returncode == 0
        assert not is_alive(pid)
        assert _pid(private_environ) != pid
    finally:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
        banger(private_environ, "daemon", "stop")


def test_a_request_that_takes_long_is_waited_for(daemon: Environ) -> None:
    """H9: silence alone is no fault."""
    process = popen(daemon, "vm", "create", "--name", "hangs")
    events = layout_of(daemon).state / "events"
    wait_until(lambda: events.exists() and "hangs" in events.read_text(), "it waits")
    log = layout_of(daemon).daemon_log
    wait_until(lambda: "daemon.status ok" in log.read_text(), "the client asks whether it lives")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def _pid(environ: Environ, *, prefix: Sequence[str] = ()) -> int:
    done = banger(environ, "daemon", "status", "--json", prefix=prefix)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["pid"])
