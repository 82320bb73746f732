"""`doctor` and `setup` as a user meets them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from banger.doctor.acceleration import UPGRADE
from banger.host.programs import Finished, run_sync
from tests.support.artifacts import CHECKOUT

EXIT_HOST_NOT_READY = 6


def _banger(environ: dict[str, str], *words: str, **more: str) -> Finished:
    env = environ | more | {"PYTHONPATH": str(CHECKOUT / "src")}
    argv = [sys.executable, "-m", "banger.cli.app.main", *words]
    return run_sync(argv, deadline_s=60, env=env, ok=range(256))


def test_doctor_answers_in_json(private_environ: dict[str, str]) -> None:
    document = json.loads(_banger(private_environ, "doctor", "--json").text)
    assert set(document) == {"ready", "install", "checks"}
    for check in document["checks"]:
        assert set(check) == {"name", "state", "fact", "hint"}
        assert check["state"] in ("ok", "warn", "fail")


def test_doctor_says_all_that_is_wrong_and_exits_with_6(private_environ: dict[str, str]) -> None:
    """H8: two faults, both told; B8: and nothing made."""
    home = Path(private_environ["HOME"]).parent
    before = sorted(home.rglob("*"))
    finished = _banger(
        private_environ, "doctor", BANGER_QEMU_BINARY="/nonexistent/qemu", XDG_RUNTIME_DIR="/proc/1"
    )
    assert finished.status == EXIT_HOST_NOT_READY
    assert "/nonexistent/qemu is not installed" in finished.text
    assert "/proc/1 is not writable" in finished.text
    assert "This host is not ready." in finished.stderr.decode()
    assert sorted(home.rglob("*")) == before


def test_doctor_is_plain_without_a_terminal(private_environ: dict[str, str]) -> None:
    assert b"\x1b" not in _banger(private_environ, "doctor").stdout


def test_setup_changes_nothing_when_nothing_is_missing(private_environ: dict[str, str]) -> None:
    finished = _banger(private_environ, "setup")
    assert (finished.status, finished.stdout) == (0, b"")
    assert "Nothing that banger needs is missing." in finished.stderr.decode()


def test_setup_names_the_newer_vmm_that_doctor_names(private_environ: dict[str, str]) -> None:
    """On stderr: what is on stdout would be run by `sh`."""
    document = json.loads(_banger(private_environ, "doctor", "--json").stdout)
    named = [check for check in document["checks"] if check["name"] == UPGRADE]
    finished = _banger(private_environ, "setup")
    rest = finished.stderr.decode().partition("Nothing that banger needs is missing.\n")[2]
    assert rest == "".join(f"{check['fact']}\n  {check['hint']}\n" for check in named)
