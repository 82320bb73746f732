"""Two installations, with state directories of their own, that share a runtime directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.doctor.checks import probe_daemon
from banger.doctor.programs import CheckState
from tests.component.daemon.running import banger, layout_of, scripted_daemon

Environ = dict[str, str]
TAKEN = 6


@pytest.fixture
def other(private_environ: Environ, short_dir: Path) -> Iterator[Environ]:
    """The environment of the second installation; a daemon of its own is ended."""
    state = short_dir / "o"
    state.mkdir(mode=0o700)
    environ = {**private_environ, "XDG_STATE_HOME": str(state)}
    yield environ
    banger(environ, "daemon", "stop")


@pytest.mark.parametrize("version", ["", "0.0.1"])
def test_the_others_daemon_is_not_reached(
    private_environ: Environ, other: Environ, version: str
) -> None:
    """B7: neither for requests nor to be stopped, also one of another version."""
    with scripted_daemon({**private_environ, "BANGER_TEST_VERSION": version}) as daemon:
        for words in (["image", "list"], ["gc"], ["daemon", "stop"], ["daemon", "restart"]):
            done = banger(other, *words)
            assert done.returncode == TAKEN, (words, done)
            assert str(layout_of(other).state).encode() in done.stderr
            assert str(layout_of(private_environ).state).encode() in done.stderr
        assert probe_daemon(layout_of(other)).state is CheckState.FAIL
        assert daemon.poll() is None
        assert _pid(private_environ) == daemon.pid


def test_the_hint_gives_a_daemon_of_its_own(private_environ: Environ, other: Environ) -> None:
    """Plain commands then find it, and both work side by side."""
    with scripted_daemon(private_environ) as daemon:
        [hint] = [
            line.partition(b"hint: ")[2].decode()
            for line in banger(other, "image", "list").stderr.splitlines()
            if b"hint: " in line
        ]
        name, _, value = hint.partition(" ")[0].partition("=")
        assert hint.partition(" ")[2] == "banger daemon restart"
        assert banger({**other, name: value}, "daemon", "restart").returncode == 0
        assert _pid(other) not in (0, daemon.pid)
        assert probe_daemon(layout_of(other)).state is CheckState.OK
        assert _pid(private_environ) == daemon.pid


def test_a_daemon_without_the_link_is_told_by_its_lock(
    private_environ: Environ, other: Environ
) -> None:
    """As of an older version."""
    with scripted_daemon(private_environ) as daemon:
        layout_of(private_environ).state_link.unlink()
        assert _pid(private_environ) == daemon.pid
        assert banger(other, "image", "list").returncode == TAKEN


def test_no_daemon_starts_among_the_others_vms(private_environ: Environ, other: Environ) -> None:
    """A6: its `gc` would remove the directories of VMs that it does not know."""
    layout = layout_of(private_environ)
    with scripted_daemon(private_environ):
        layout.vm_runtime("0" * 12).mkdir(parents=True)
    assert banger(other, "image", "list").returncode == TAKEN
    layout.vm_runtime("0" * 12).rmdir()
    assert banger(other, "image", "list").returncode == 0
    assert layout.state_link.readlink() == layout_of(other).state


def _pid(environ: Environ) -> int:
    done = banger(environ, "daemon", "status", "--json")
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["pid"])
