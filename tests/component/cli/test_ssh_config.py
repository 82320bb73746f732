"""`ssh-config`: the user's file is changed only when asked for, and comes back as it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.component.daemon.running import banger

USERS = b"# mine\nHost *\n    User alice\n"


def test_a_line_is_added_and_removed(private_environ: dict[str, str]) -> None:
    """G4: at the top, once; the mode is kept, a link is followed; nothing else is touched."""
    home = Path(private_environ["HOME"])
    (home / ".ssh").mkdir(mode=0o700)
    (home / "dotfiles").write_bytes(USERS)
    (home / "dotfiles").chmod(0o640)
    config = home / ".ssh" / "config"
    config.symlink_to(home / "dotfiles")

    printed = banger(private_environ, "ssh-config").stdout
    assert printed.startswith(b"Host *.vm\n") and config.read_bytes() == USERS
    for _ in range(2):
        assert banger(private_environ, "ssh-config", "--install").returncode == 0
    own = Path(private_environ["XDG_STATE_HOME"], "banger", "ssh", "config")
    assert own.read_bytes() == printed
    assert config.read_bytes() == f'Include "{own}"\n'.encode() + USERS
    assert config.is_symlink() and stat.S_IMODE(config.stat().st_mode) == 0o640
    for _ in range(2):
        assert banger(private_environ, "ssh-config", "--uninstall").returncode == 0
    assert config.read_bytes() == USERS and not own.exists()


def test_a_file_is_made_where_there_is_none(private_environ: dict[str, str]) -> None:
    """G4: private from birth; and what cannot be written is said."""
    home = Path(private_environ["HOME"])
    assert banger(private_environ, "ssh-config", "--install").returncode == 0
    assert stat.S_IMODE((home / ".ssh").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / ".ssh/config").stat().st_mode) == 0o600
    (home / ".ssh").chmod(0o500)
    refused = banger(private_environ, "ssh-config", "--uninstall")
    assert refused.returncode == 1 and b"cannot be changed: Permission denied" in refused.stderr
    (home / ".ssh").chmod(0o700)
    both = banger(private_environ, "ssh-config", "--install", "--uninstall")
    assert both.returncode == 2


def test_it_needs_no_daemon(private_environ: dict[str, str]) -> None:
    """B8."""
    assert banger(private_environ, "ssh-config").returncode == 0
    assert os.listdir(Path(private_environ["XDG_STATE_HOME"])) == []
