"""What a daemon keeps of the shell that started it: next to nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.component.daemon.running import banger, with_sources

ODD_SHELL = """
trap '' CHLD HUP INT TERM USR1
umask 077
ulimit -S -n 64
ulimit -S -f 1000
exec "$@"
"""
IGNORED = {13, 25}
"""SIGPIPE and SIGXFSZ, by Python."""


def test_the_daemon_starts_from_a_state_of_its_own(private_environ: dict[str, str]) -> None:
    """B1: signals, limits, umask, directory and variables."""
    argv = ["bash", "-c", ODD_SHELL, "bash", sys.executable, "-m", "banger", "image", "list"]
    odd = {**with_sources(private_environ), "LD_BIND_NOW": "1", "ODD": "1", "PYTHONOPTIMIZE": "2"}
    subprocess.run(argv, env=odd, check=True, timeout=60, capture_output=True)
    try:
        status = banger(private_environ, "daemon", "status", "--json")
        process = Path(f"/proc/{json.loads(status.stdout)['pid']}")
        assert _ignored(process) == IGNORED
        assert "Umask:\t0022" in (process / "status").read_text()
        assert os.readlink(process / "cwd") == "/"
        limits = (process / "limits").read_text()
        for name in ("Max open files", "Max file size"):
            found = re.search(rf"{name} +(\S+) +(\S+)", limits)
            assert found is not None and found[1] not in ("64", "1024000"), limits
        variables = (process / "environ").read_bytes().split(b"\0")
        names = {variable.partition(b"=")[0] for variable in variables}
        assert not names & {b"ODD", b"LD_BIND_NOW", b"PYTHONOPTIMIZE"}
    finally:
        banger(private_environ, "daemon", "stop")


def _ignored(process: Path) -> set[int]:
    found = re.search(r"SigIgn:\t(\w+)", (process / "status").read_text())
    assert found is not None
    return {number for number in range(1, 32) if int(found[1], 16) >> (number - 1) & 1}
