"""ssh where two installations, with state directories of their own, share a runtime directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.component.daemon.running import banger, layout_of, scripted_daemon, with_sources
from tests.component.ssh.conftest import DEADLINE_S, Host


def ssh(environ: dict[str, str], config: Path) -> subprocess.CompletedProcess[bytes]:
    argv = ["ssh", "-F", config, "box.vm", "echo served"]
    return subprocess.run(
        argv,
        env=with_sources(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_the_others_front_is_not_reached(host: Host, short_dir: Path) -> None:
    """B7: whoever asks is told whose it is, as by other commands, and gets no word of its VMs."""
    other = host.environ | {"XDG_STATE_HOME": str(short_dir / "o")}
    for done in (ssh(other, host.config), banger(other, "vm", "ssh", "box", "echo", "served")):
        assert done.returncode != 0 and done.stdout == b""
        for each in (other, host.environ):
            assert str(layout_of(each).state).encode() in done.stderr
        assert b"hint: XDG_RUNTIME_DIR=" in done.stderr


def test_the_own_front_is_found_elsewhere(host: Host, short_dir: Path) -> None:
    """B7: the daemon's lock tells where, also if another installation's is at the usual place."""
    runtime = short_dir / "r2"
    runtime.mkdir(mode=0o700)
    other = host.environ | {
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_STATE_HOME": str(short_dir / "o"),
    }
    here = host.environ | {"XDG_RUNTIME_DIR": str(runtime)}
    assert ssh(here, host.config).stdout == b"served\n"
    with scripted_daemon(other):
        assert ssh(here, host.config).stdout == b"served\n"
